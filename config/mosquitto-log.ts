import type { Block } from './blocks.ts'
import type { Problems } from './problems.ts'
import type { LogConfig, MosquittoLogConfig, MosquittoLogType } from './types.ts'

const ALL: readonly MosquittoLogType[] = [
  'error',
  'warning',
  'notice',
  'information',
  'debug',
  'subscribe',
  'unsubscribe',
  'websockets',
]
const BY_DEFAULT: readonly MosquittoLogType[] = ALL.slice(0, 4)

/** How many of `ALL` a level has, where one is set beside the file. */
const UP_TO: Readonly<Record<LogConfig['level'], number>> = {
  silent: 0,
  error: 1,
  warn: 2,
  info: 4,
  debug: ALL.length,
  trace: ALL.length,
}

/**
 * Undefined unless the file says where or what to log: then its lines look as Mosquitto's do.
 *
 * @param level of the environment; it wins over `log_type`
 */
export function mosquittoLogOf(
  global: Block | undefined,
  verbosity: 'normal' | 'verbose' | 'quiet',
  level: LogConfig['level'] | undefined,
  problems: Problems,
): MosquittoLogConfig | undefined {
  if (global === undefined) return undefined
  if (!global.has('log_dest') && !global.has('log_type')) return undefined
  const { destinations, file } = destinationsOf(global, problems)
  const types = level === undefined ? typesOf(global) : ALL.slice(0, UP_TO[level])
  return {
    destinations: verbosity === 'quiet' ? [] : destinations,
    ...(file === undefined ? {} : { file }),
    types: verbosity === 'verbose' ? ALL : types,
    timestamp: global.boolean('log_timestamp') ?? true,
    timestampFormat: global.text('log_timestamp_format'),
  }
}

function typesOf(global: Block): readonly MosquittoLogType[] {
  const given = global.texts('log_type')
  if (given.length === 0) return BY_DEFAULT
  const counted = given.slice(given.lastIndexOf('none') + 1)
  return counted.includes('all') ? ALL : ALL.filter((type) => counted.includes(type))
}

type Destinations = Pick<MosquittoLogConfig, 'destinations' | 'file'>

function destinationsOf(global: Block, problems: Problems): Destinations {
  const given = global.texts('log_dest')
  if (given.length === 0) return { destinations: ['stderr'] }
  const found = new Set<MosquittoLogConfig['destinations'][number]>()
  let file: string | undefined
  for (const [i, to] of given.entries()) {
    const place = global.each('log_dest')[i]?.place ?? global.place
    if (to === 'none') found.clear()
    else if (to === 'stdout' || to === 'stderr' || to === 'topic') found.add(to)
    else if (to.startsWith('file ')) {
      if (file !== undefined) problems.error(place, 'Duplicate "log_dest file" value.')
      file ??= to.slice('file '.length)
      found.add('file')
    } else {
      found.add('stderr')
      problems.warn(place, `There is no '${to}' here: log lines go to standard error instead.`)
    }
  }
  return { destinations: [...found], ...(found.has('file') && file !== undefined ? { file } : {}) }
}
