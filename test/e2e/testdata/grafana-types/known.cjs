// Prints the units, transformations and matchers of dashboards that Grafana's own
// library does not know.
globalThis.navigator ??= { language: 'en-US', languages: ['en-US'] } // as in a browser
const { readFileSync } = require('node:fs')
const { fieldMatchers, getValueFormats, standardTransformers } = require('@grafana/data')

const units = new Set(getValueFormats().flatMap((category) => category.submenu.map((format) => format.value)))
const transformers = new Set(Object.values(standardTransformers).map((transformer) => transformer.id))
const matchers = new Set(fieldMatchers.list().map((matcher) => matcher.id))

function check(file, panel) {
  const unknown = (what, id) => console.log(`${file}, ${panel.title}: ${what} ${id}`)
  const overrides = panel.fieldConfig?.overrides ?? []
  const properties = overrides.flatMap((override) => override.properties)
  for (const unit of [panel.fieldConfig?.defaults?.unit, ...properties.filter((p) => p.id === 'unit').map((p) => p.value)]) {
    if (unit !== undefined && !units.has(unit) && !/^(suffix|prefix):/.test(unit)) unknown('unit', unit)
  }
  for (const { matcher } of overrides) if (!matchers.has(matcher.id)) unknown('matcher', matcher.id)
  for (const { id } of panel.transformations ?? []) if (!transformers.has(id)) unknown('transformation', id)
  for (const inner of panel.panels ?? []) check(file, inner)
}

for (const file of process.argv.slice(2)) {
  for (const panel of JSON.parse(readFileSync(file, 'utf8')).panels) check(file, panel)
}
