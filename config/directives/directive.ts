import type { Value, ValueKind } from '../values.ts'

/**
 * What we do with a directive. A `pending` one is read, checked and put into its field of Config;
 * the file is refused only because nothing acts on that field yet. Once something does, its row
 * becomes HONOURED, and that is the whole change.
 */
export type Status =
  | { readonly is: 'honoured' }
  | { readonly is: 'pending' }
  /** Accepted with one warning, because ignoring it is harmless. */
  | { readonly is: 'ignored'; readonly because: string }
  /** Would be unsafe to ignore: why, and what to do instead. */
  | { readonly is: 'refused'; readonly because: string }
  /** Part of a block that is judged as a whole, at the line that opens it. */
  | { readonly is: 'with its block' }

export const HONOURED: Status = { is: 'honoured' }
export const PENDING: Status = { is: 'pending' }
export const WITH_ITS_BLOCK: Status = { is: 'with its block' }
export const ignored = (because: string): Status => ({ is: 'ignored', because })
export const refused = (because: string): Status => ({ is: 'refused', because })

/**
 * `security` belongs to the whole broker, or with `per_listener_settings true` to the listener
 * opened last. Before the first listener, `listener or default` opens the default one (port 1883),
 * and `own listener` is not for that one. `opening` lines open a block or change what is read next.
 */
export type BlockName =
  | 'global'
  | 'security'
  | 'listener'
  | 'listener or default'
  | 'own listener'
  | 'bridge'
  | 'plugin'
  | 'opening'

export interface Directive {
  readonly name: string
  /** The name its value is kept under; the same for two spellings of one directive. */
  readonly key: string
  readonly block: BlockName
  readonly value: ValueKind
  readonly status: Status
  /** Given twice in one block: an error, the last one counts, or each one counts. */
  readonly repeat: 'error' | 'last' | 'each'
  /**
   * `yes`: a change of it is applied by a reload, without a restart. `content`: the file it names is
   * read again, and another name waits for a restart.
   */
  readonly reload: 'yes' | 'content' | 'no'
  /** Values that ask for what happens anyway: neither warned about nor refused. */
  readonly neutral: readonly string[]
  /** What refusals call it where Mosquitto has another name for it there. */
  readonly label: string
}

type Options = Partial<Pick<Directive, 'key' | 'repeat' | 'reload' | 'neutral' | 'label'>>

export function directive(
  name: string,
  block: BlockName,
  value: ValueKind,
  status: Status,
  options: Options = {},
): Directive {
  return {
    name,
    key: name,
    block,
    value,
    status,
    // Mosquitto finds a text given twice by its pointer; numbers and booleans it just overwrites.
    repeat: value.description === 'rest of the line' ? 'error' : 'last',
    reload: 'no',
    neutral: [],
    label: name,
    ...options,
  }
}

/** The value as `neutral` spells it. */
export function spelled(value: Value): string {
  if (value.kind === 'text') return value.text
  if (value.kind === 'words') return value.words.join(' ')
  return String(value.kind === 'boolean' ? value.boolean : value.integer)
}
