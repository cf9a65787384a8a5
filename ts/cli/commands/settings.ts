// Which settings hold here, and where each comes from.
import { tableOf, type Command } from '../command.js'

export const settings: Command = {
  name: 'settings',
  arguments: [],
  summary: 'Print each setting, its value, and where it comes from.',
  flags: {},
  run: async ({ settings }) => {
    const rows = Object.entries(settings).map(([setting, { value, source, where }]) => ({
      setting,
      value,
      source,
      where,
    }))
    return { value: rows, table: tableOf(['setting', 'value', 'source', 'where'], rows) }
  },
}
