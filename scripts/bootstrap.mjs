// Makes `npm run <task>` work in a bare clone: node scripts/bootstrap.mjs <task> [arguments].
// Nothing outside Node itself may be imported from here on, since node_modules may not exist yet.
import { nodeProblem } from './node-version.mjs'

const problem = nodeProblem(process.versions.node)
if (problem) {
  console.error(problem)
  process.exitCode = 1
} else {
  // Not `await`, which at the top of a module is itself newer than the Node versions turned away here.
  void import('./tasks.mjs').then(({ start }) => start(process.argv.slice(2)))
}
