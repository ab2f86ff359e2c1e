import type { Block, BridgeBlock } from './blocks.ts'
import { directiveNamed } from './directives.ts'
import { shown } from './lines.ts'
import type { Problems } from './problems.ts'
import type { Place } from './types.ts'
import { wordsOf } from './values.ts'

/** Checks every `connection` block, then refuses it: there are no bridges yet. */
export function refuseBridges(bridges: readonly BridgeBlock[], problems: Problems): void {
  const localIds = new Set<string>()
  for (const { name, settings } of bridges) {
    checkAddresses(settings, problems)
    checkTopics(settings, problems)
    checkTls(settings, problems)
    const localId = settings.text('local_clientid')
    if (localId !== undefined && localIds.has(localId)) {
      problems.error(
        settings.placeOf('local_clientid'),
        `Bridge local_clientid '${shown(localId)}' is not unique. Try changing or setting the local_clientid value for one of the bridges.`,
      )
    }
    if (localId !== undefined) localIds.add(localId)
    if (directiveNamed('connection')?.status.is === 'pending') {
      problems.error(settings.place, `Bridges are not supported yet: connection '${shown(name)}'.`)
    }
  }
}

const INVALID = 'Invalid bridge configuration'

function checkAddresses(settings: Block, problems: Problems): void {
  const [first, second] = settings.each('address')
  if (first === undefined) {
    return problems.error(settings.place, `${INVALID}: no remote addresses defined.`)
  }
  if (second !== undefined) {
    problems.error(second.place, `${INVALID}, 'address' only allowed once.`)
  }
  const words = first.value.kind === 'words' ? first.value.words : []
  const comment = words.findIndex((word) => word.startsWith('#'))
  const addresses = comment === -1 ? words : words.slice(0, comment)
  if (addresses.length === 0) {
    problems.error(first.place, 'Empty address value in configuration.')
  }
  for (const address of addresses) {
    const colon = address.lastIndexOf(':')
    if (colon === -1) continue
    const port = address.slice(colon + 1)
    if (!/^[0-9]{1,5}$/u.test(port) || Number(port) < 1 || Number(port) > 65_535) {
      problems.error(first.place, `Invalid bridge port value (${shown(port)}).`)
    }
  }
}

function checkTopics(settings: Block, problems: Problems): void {
  const topics = settings.each('topic')
  if (topics.length === 0) problems.error(settings.place, `${INVALID}: no topics defined.`)
  for (const { value, place } of topics) {
    if (value.kind === 'text') checkTopic(value.text, place, problems)
  }
}

/** `pattern [out|in|both [qos [local-prefix [remote-prefix]]]]`, the pattern perhaps in quotes. */
function checkTopic(text: string, place: Place, problems: Problems): void {
  const split = splitPattern(text)
  if (split === undefined) {
    const behind = text.slice(text.indexOf(' ') + 1)
    const open = text.includes(' ') ? behind : ''
    return problems.error(place, `Missing closing quote in topic value (${shown(open)}).`)
  }
  const comment = split.others.findIndex((word) => word.startsWith('#'))
  const words = comment === -1 ? split.others : split.others.slice(0, comment)
  const [direction = 'out', qos = '0', local = '""', remote = '""'] = words
  if (!['out', 'in', 'both'].includes(direction.toLowerCase())) {
    problems.error(place, `Invalid bridge topic direction '${shown(direction)}'.`)
  }
  if (!/^[0-2]$/u.test(qos)) problems.error(place, `Invalid bridge QoS level '${shown(qos)}'.`)
  if (split.pattern === '' && (local === '""' || remote === '""')) {
    problems.error(place, `${INVALID}: topic "" needs a local and a remote prefix.`)
  }
}

function splitPattern(text: string): { pattern: string; others: string[] } | undefined {
  if (!text.startsWith('"')) {
    const [pattern = '', ...others] = wordsOf(text)
    return { pattern, others }
  }
  const close = text.indexOf('"', 1)
  if (close === -1) return undefined
  return { pattern: text.slice(1, close), others: wordsOf(text.slice(close + 1)) }
}

const CERTIFICATES = ['bridge_cafile', 'bridge_capath', 'bridge_certfile', 'bridge_keyfile']

function checkTls(settings: Block, problems: Problems): void {
  const hasIdentity = settings.has('bridge_identity')
  const hasKey = settings.has('bridge_psk')
  if (hasKey && !hasIdentity) {
    problems.error(settings.placeOf('bridge_psk'), `${INVALID}: missing bridge_identity.`)
  }
  if (hasIdentity && !hasKey) {
    problems.error(settings.placeOf('bridge_identity'), `${INVALID}: missing bridge_psk.`)
  }
  const certificate = CERTIFICATES.find((key) => settings.has(key))
  if (certificate !== undefined && (hasIdentity || hasKey)) {
    problems.error(
      settings.placeOf(certificate),
      `'${certificate}': Cannot use both certificate and psk encryption in a single bridge.`,
    )
  }
  if (settings.boolean('bridge_require_ocsp') === true) {
    problems.error(
      settings.placeOf('bridge_require_ocsp'),
      "The 'bridge_require_ocsp' option is refused: OCSP is not asked here, so a revoked certificate of the other broker would pass.",
    )
  }
}
