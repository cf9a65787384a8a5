import test from 'ava'
import { nearest } from '#ts/internal/nearest.js'

const words = ['vector', 'select', 'filter', 'k', 'efSearch']

test('a near word is found, whatever its case', (t) => {
  t.is(nearest('vectro', words), 'vector')
  t.is(nearest('efsearch', words), 'efSearch')
  t.is(nearest('K', words), 'k')
})

test('nothing is guessed when nothing is near', (t) => {
  t.is(nearest('temperature', words), undefined)
  t.is(nearest('x'.repeat(1000), words), undefined)
})

test('two letters that changed places are one slip', (t) => {
  t.is(nearest('titel', ['title']), 'title')
  t.is(nearest('eltit', ['title']), undefined)
})
