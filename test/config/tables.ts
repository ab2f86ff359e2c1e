/** The tables of docs/mosquitto.md and docs/configuration.md, as the code has them. */
import { DIRECTIVES } from '../../config/directives.ts'
import type { Directive } from '../../config/directives/directive.ts'
import { SETTING_GROUPS } from '../../config/settings.ts'

function statusText({ status, neutral, block }: Directive): string {
  const values = neutral.map((value) => `\`${value}\``).join(', ')
  const except = neutral.length === 0 ? '' : ` (${values}: accepted)`
  switch (status.is) {
    case 'honoured':
      return 'honoured'
    case 'pending':
      return `not supported yet${except}`
    case 'ignored':
      return `ignored${except}: ${status.because}`
    case 'refused':
      return `refused${except}: ${status.because}`
    case 'with its block':
      return block === 'bridge' ? 'as its `connection`' : 'as its plugin'
    default:
      throw new Error(String(status))
  }
}

export function directiveTable(): string {
  const rows = DIRECTIVES.map((directive) => {
    const { name, block, value, reload } = directive
    const cells = [
      `\`${name}\``,
      block,
      value.description,
      statusText(directive),
      reload === 'no' ? '' : reload,
    ]
    return `| ${cells.join(' | ')} |`
  })
  return ['| directive | block | value | here | reload |', '|---|---|---|---|---|', ...rows].join(
    '\n',
  )
}

export function settingTables(): string {
  return SETTING_GROUPS.map(({ title, settings }) => {
    const rows = settings.map(({ variable, directive, shownDefault, unit, meaning }) => {
      const cells = [
        `\`${variable}\``,
        directive === undefined ? '' : `\`${directive}\``,
        shownDefault === '' ? '' : `\`${shownDefault}\``,
        unit,
        meaning,
      ]
      return `| ${cells.join(' | ')} |`
    })
    const head = ['| variable | directive | default | unit | meaning |', '|---|---|---|---|---|']
    return [`### ${title}`, '', ...head, ...rows].join('\n')
  }).join('\n\n')
}
