// `require('cairndb')` gives the very module that `import` gives: one instance, whichever way it is loaded.
try {
  module.exports = require('./dist/index.js')
} catch (error) {
  if (error.code !== 'ERR_REQUIRE_ESM') throw error
  const message =
    `Node ${process.version} cannot require('cairndb'), which is an ES module: ` +
    "use await import('cairndb') instead, or Node 20.19, 22.12 or newer"
  throw Object.assign(new Error(message, { cause: error }), { code: error.code })
}
