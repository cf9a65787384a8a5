import io = require('../dist/io/index.js')
export = io
