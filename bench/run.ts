/** `npm run bench -- NAME [options]`: one script per claim, see bench/README.md. */
import { messageOf } from '../core/errors.ts'

type Benchmark = (args: readonly string[]) => Promise<boolean>

/** Each answers whether what it checked held. */
const BENCHMARKS: ReadonlyMap<string, () => Promise<Benchmark>> = new Map([
  ['connect', async () => (await import('./connect.ts')).benchmarkConnect],
  ['crl', async () => (await import('./crl.ts')).benchmarkCrl],
  ['insert', async () => (await import('./insert.ts')).benchmarkInsert],
  ['publish', async () => (await import('./publish.ts')).benchmarkPublish],
])

const [name = '', ...args] = process.argv.slice(2)
const load = BENCHMARKS.get(name)
if (load === undefined) {
  console.error(
    `usage: npm run bench -- NAME [options]; NAME: ${[...BENCHMARKS.keys()].join(', ')}`,
  )
  process.exitCode = 2
} else {
  try {
    const benchmark = await load()
    if (!(await benchmark(args))) process.exitCode = 1
  } catch (err) {
    console.error(`bench ${name}: ${messageOf(err)}`)
    process.exitCode = 1
  }
}
