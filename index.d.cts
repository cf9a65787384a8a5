import cairn = require('./dist/index.js')
export = cairn
