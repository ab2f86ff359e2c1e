/**
 * One batch until each of its items is stored or refused: tried again while PostgreSQL is away, cut
 * apart while it refuses.
 *
 * The batch is a list of segments. A pass tries each; a refused segment is cut in two at once, since
 * the server is fine and only a row is not (O(log n) round trips for a row, or three when the server
 * names it). A segment that fails for an unclear reason is first tried again as it is, then cut,
 * and goes behind the others, so that a row at the front cannot keep its neighbours from the table.
 */
import type { Clock } from '../core/clock.ts'
import type { Fault } from './sqlstate.ts'

export interface BatchTarget<T> {
  /** One transaction: all of them or none. Throws when they are not, or may not be, stored. */
  write(items: readonly T[]): Promise<void>
  stored(items: readonly T[]): void
  /** The item was refused when it was alone. */
  refused(item: T, cause: unknown): void
  faultOf(cause: unknown): Fault
  /** Index of the item that an error names, if it names one: a hint on where to cut, no more. */
  suspectOf?(cause: unknown): number | undefined
  /** Called for each failed write, before anything is done about it. */
  failed(cause: unknown, fault: Fault, items: number): void
}

export interface BatchSurroundings {
  readonly clock: Clock
  /** 0 to 1. */
  readonly random: () => number
  readonly signal: AbortSignal
  /** Transactions committed by whoever writes to the same table; only differences are looked at. */
  commits: number
}

const FIRST_BACKOFF_MS = 100
const LAST_BACKOFF_MS = 5_000
/** Unclear failures in one pass before it is broken off. */
const PASS_PATIENCE = 4
/** Unclear failures of an item alone, others committing in between, until it is to blame. */
const STRIKES = 3

interface Segment {
  readonly from: number
  readonly to: number
  /** Unclear failures that count against it. */
  readonly strikes: number
  /** `commits` when the last of them was counted. */
  readonly seenCommits: number
}

/** 100 ms doubling to 5 s, the upper half of it by chance. */
export function backoffMs(attempt: number, random: number): number {
  const full = Math.min(LAST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** Math.min(attempt, 10))
  return full / 2 + (full / 2) * random
}

/**
 * Settles when every item was stored or refused, or when the signal aborts (then some were neither).
 * A write whose COMMIT got lost on the way back is repeated: at least once, never less.
 *
 * @param neighbour one more item of those that wait, asked for when the batch is held for an unclear
 *   reason: whether others get through tells a bad row from a bad table
 */
export async function writeBatch<T>(
  batch: readonly T[],
  target: BatchTarget<T>,
  around: BatchSurroundings,
  neighbour: () => T | undefined = () => undefined,
): Promise<void> {
  const items = [...batch]
  let segments: Segment[] = [{ from: 0, to: items.length, strikes: 0, seenCommits: -1 }]
  let attempt = 0
  for (;;) {
    const pass = await runPass(items, segments, target, around)
    segments = pass.left
    if (segments.length === 0 || around.signal.aborted) return
    if (pass.progressed) attempt = 0
    else if (pass.unclear > 0) {
      const other = neighbour()
      if (other !== undefined) {
        const from = items.push(other) - 1
        segments.unshift({ from, to: from + 1, strikes: 0, seenCommits: -1 })
      }
    }
    await around.clock.sleep(backoffMs(attempt++, around.random()), around.signal)
    if (around.signal.aborted) return
  }
}

interface Pass {
  readonly left: Segment[]
  readonly progressed: boolean
  /** Failures for an unclear reason. */
  readonly unclear: number
}

/** What the write threw; undefined when it went through. */
async function failureOf<T>(target: BatchTarget<T>, items: readonly T[]): Promise<unknown> {
  try {
    await target.write(items)
    return undefined
  } catch (cause) {
    return cause ?? new Error('a write failed with nothing to say')
  }
}

async function runPass<T>(
  items: readonly T[],
  segments: readonly Segment[],
  target: BatchTarget<T>,
  around: BatchSurroundings,
): Promise<Pass> {
  const todo = [...segments]
  const behind: Segment[] = []
  let progressed = false
  let unclear = 0
  for (let segment = todo.shift(); segment !== undefined; segment = todo.shift()) {
    if (around.signal.aborted) return { left: [segment, ...todo, ...behind], progressed, unclear }
    const { from, to } = segment
    const tried = items.slice(from, to)
    const cause = await failureOf(target, tried)
    if (cause === undefined) {
      around.commits++
      progressed = true
      target.stored(tried)
      continue
    }
    const fault = target.faultOf(cause)
    target.failed(cause, fault, tried.length)
    // Nothing else would come through either.
    if (fault === 'transient') return { left: [segment, ...todo, ...behind], progressed, unclear }
    const alone = tried.length === 1 ? items[from] : undefined
    if (fault === 'rejected') {
      progressed = true
      if (alone === undefined) todo.unshift(...cut(segment, 0, target.suspectOf?.(cause)))
      else target.refused(alone, cause)
      continue
    }
    const held = strike(segment, around.commits)
    if (alone !== undefined && held.strikes >= STRIKES) {
      progressed = true
      target.refused(alone, cause)
      continue
    }
    behind.push(...(alone === undefined && held.strikes > 1 ? cut(segment, 1) : [held]))
    if (++unclear === PASS_PATIENCE) return { left: [...todo, ...behind], progressed, unclear }
  }
  return { left: behind, progressed, unclear }
}

/** A failure counts against a single item only if somebody else committed since the last one. */
function strike(segment: Segment, commits: number): Segment {
  const counts = segment.to - segment.from > 1 || segment.seenCommits !== commits
  return counts ? { ...segment, strikes: segment.strikes + 1, seenCommits: commits } : segment
}

/** `strikes` is what the parts begin with; a single item always begins anew. */
function cut({ from, to }: Segment, strikes: number, suspect?: number): Segment[] {
  const at = from + (suspect ?? 0)
  const cuts =
    suspect !== undefined && at >= from && at < to
      ? [from, at, at + 1, to]
      : [from, from + Math.ceil((to - from) / 2), to]
  const parts: Segment[] = []
  for (let i = 1; i < cuts.length; i++) {
    const start = cuts[i - 1] ?? from
    const end = cuts[i] ?? to
    const begun = end - start > 1 ? strikes : 0
    if (start < end) parts.push({ from: start, to: end, strikes: begun, seenCommits: -1 })
  }
  return parts
}
