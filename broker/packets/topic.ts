import {
  isTopicFilter,
  isTopicName,
  topicFilter,
  topicName,
  type TopicFilter,
  type TopicName,
} from '../../core/names.ts'
import { MalformedPacket, quoted } from './malformed.ts'

/**
 * `text` as a Topic Name (MQTT 3.1.1 §4.7); its UTF-8 was checked when it was read.
 *
 * @param where begins the error's message
 * @param wildcardStatement the statement a wildcard offends here
 * @throws MalformedPacket when it is empty, holds a wildcard or has too many levels
 */
export function readTopicName(text: string, where: string, wildcardStatement: string): TopicName {
  if (isTopicName(text)) return topicName(text)
  if (text === '') throw new MalformedPacket(`${where} is empty [MQTT-4.7.3-1]`)
  if (/[+#]/u.test(text)) {
    throw new MalformedPacket(`${where} ${quoted(text)} holds a wildcard [${wildcardStatement}]`)
  }
  throw tooManyLevels(text, where)
}

/** `text` as a Topic Filter. @throws MalformedPacket when it is none (MQTT 3.1.1 §4.7.1, §4.7.3) */
export function readTopicFilter(text: string, where: string): TopicFilter {
  if (isTopicFilter(text)) return topicFilter(text)
  if (text === '') throw new MalformedPacket(`${where} is empty [MQTT-4.7.3-1]`)
  const levels = text.split('/')
  if (levels.some((level, i) => level.includes('#') && (level !== '#' || i < levels.length - 1))) {
    const problem = 'has # elsewhere than alone on the last level'
    throw new MalformedPacket(`${where} ${quoted(text)} ${problem} [MQTT-4.7.1-2]`)
  }
  if (levels.some((level) => level.includes('+') && level !== '+')) {
    const problem = 'has + not alone on its level'
    throw new MalformedPacket(`${where} ${quoted(text)} ${problem} [MQTT-4.7.1-3]`)
  }
  throw tooManyLevels(text, where)
}

/** The bound is core/names.ts's, and Mosquitto's. */
function tooManyLevels(text: string, where: string): MalformedPacket {
  return new MalformedPacket(
    `${where} ${quoted(text)} has ${text.split('/').length} levels, too many`,
  )
}
