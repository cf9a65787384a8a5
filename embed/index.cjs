// `require('cairndb/embed')` gives the very module that `import` gives.
try {
  module.exports = require('../dist/embed/index.js')
} catch (error) {
  if (error.code !== 'ERR_REQUIRE_ESM') throw error
  const message =
    `Node ${process.version} cannot require('cairndb/embed'), which is an ES module: ` +
    "use await import('cairndb/embed') instead, or Node 20.19, 22.12 or newer"
  throw Object.assign(new Error(message, { cause: error }), { code: error.code })
}
