// Written so that even an old Node can parse it: bootstrap.mjs asks here before anything else is loaded.

/** The lowest Node major version that runs Cairn; `engines` in package.json says the same. */
export const nodeMajorMin = 20

/** One sentence about what is wrong with this Node, or null when nothing is. */
export function nodeProblem(version) {
  if (parseInt(version, 10) >= nodeMajorMin) return null
  return (
    'Node ' +
    version +
    ' is too old: Cairn needs Node ' +
    nodeMajorMin +
    ' or newer, which https://nodejs.org/en/download has.'
  )
}
