// `require('cairndb')` gives the very module that `import` gives: one instance, whichever way it is loaded.
// Node 20.0 to 20.18 cannot require an ES module and says so; there `await import('cairndb')` is the way in.
module.exports = require('./dist/index.js')
