import { placeText } from './errors.ts'
import type { ConfigErrors } from './errors.ts'

/**
 * What Mosquitto writes on standard error for each error: the reason, then the place. The caller
 * puts its timestamps before the lines and says farewell after them.
 */
export function errorLines({ errors }: ConfigErrors): readonly string[] {
  return errors.flatMap(({ message, place }) => {
    const text = placeText(place)
    return [`Error: ${message.slice(text.length + 2)}`, `Error found at ${text}.`]
  })
}
