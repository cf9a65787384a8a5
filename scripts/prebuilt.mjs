// Runs the JavaScript suites over a binary that was built elsewhere and lies in dist/: needs Node, not Rust.
import { compile } from './build.mjs'
import { install } from './install.mjs'
import { test } from './test.mjs'

await install()
await compile()
process.exitCode = await test(['javascript', 'types'])
