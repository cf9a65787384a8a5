import assert from 'node:assert/strict'
import { test } from 'node:test'
import { blockIn, differences, replaceBlock, table } from './lib/markdown.mjs'

test('a table aligns numbers to the right and escapes bars', () => {
  const text = table([{ title: 'name' }, { title: 'n', right: true }], [['a|b', 1]])
  assert.equal(text, '| name | n |\n|---|---:|\n| a\\|b | 1 |')
})

test('the block between the comments is replaced and nothing else', () => {
  const before = 'one\n<!-- bench:start -->\nold\n<!-- bench:end -->\ntwo\n'
  const after = 'one\n<!-- bench:start -->\nnew\n<!-- bench:end -->\ntwo\n'
  assert.equal(replaceBlock(before, '\nnew\n'), after)
  assert.equal(replaceBlock(after, 'new'), after)
})

test('the block between the comments is read', () => {
  assert.equal(blockIn('one\n<!-- bench:start -->\nold\n<!-- bench:end -->\ntwo\n'), '\nold\n')
})

test('lines that only one of two documents has are told with their numbers', () => {
  assert.deepEqual(differences('a\nb\nc', 'a\nb\nc'), [])
  assert.deepEqual(differences('a\nb\nc', 'a\nx\nc'), ['-2: b', '+2: x'])
  assert.deepEqual(differences('a\nc', 'a\nb\nc'), ['+2: b'])
  assert.deepEqual(differences('a\na', 'a'), ['-2: a'])
  assert.deepEqual(differences('a\nb', 'b\na'), ['-1: a', '+1: b'])
})

test('dollar signs in the block are kept', () => {
  const document = '<!-- bench:start --><!-- bench:end -->'
  assert.match(replaceBlock(document, "$& $1 $'"), /\n\$& \$1 \$'\n/)
})

for (const [name, document] of [
  ['no comments', 'text'],
  ['one comment', '<!-- bench:start -->'],
  ['the wrong order', '<!-- bench:end --><!-- bench:start -->'],
  ['two blocks', '<!-- bench:start --><!-- bench:end -->'.repeat(2)],
]) {
  test(`a document with ${name} is refused`, () => {
    assert.throws(() => replaceBlock(document, 'new'), /needs one/)
  })
}
