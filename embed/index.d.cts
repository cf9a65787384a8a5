import embed = require('../dist/embed/index.js')
export = embed
