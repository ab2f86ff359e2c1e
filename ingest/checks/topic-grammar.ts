import type { Check } from './check.ts'

/**
 * BAD_TOPIC_FORMAT: the topic is not `tenant/{T}/device/{D}/{type}[/…]` with the very T, D and type
 * that came beside it. These go into the row unread, so a caller that split them wrongly stops here.
 * T and D are ids by their type; the type is any one level that a column takes.
 */
export const topicGrammar: Check = ({ telemetry: { topic, tenantId, deviceId, msgType } }) => {
  const device = 7 + tenantId.length
  const type = device + 8 + deviceId.length
  const end = type + 1 + msgType.length
  const fits =
    topic.startsWith('tenant/') &&
    topic.startsWith(tenantId, 7) &&
    topic.startsWith('/device/', device) &&
    topic.startsWith(deviceId, device + 8) &&
    topic.charCodeAt(type) === 0x2f &&
    topic.startsWith(msgType, type + 1) &&
    (topic.length === end || topic.charCodeAt(end) === 0x2f)
  return fits && isType(msgType) ? undefined : 'BAD_TOPIC_FORMAT'
}

function isType(text: string): boolean {
  if (text === 'telemetry' || text === 'heartbeat') return true
  return text !== '' && !/[/\0]/u.test(text) && text.isWellFormed()
}
