import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { accessProblem, missingPermission, octal, ourselves } from '../../core/file-access.ts'
import { scratchDirectory } from '../helpers/scratch.ts'

const MODULE = join(import.meta.dirname, '..', '..', 'core', 'file-access.js')
const isRoot = process.getuid?.() === 0
const SETPRIV = '/usr/bin/setpriv'

test('without a missing permission there is nothing to add', async (t) => {
  const folder = await scratchDirectory(t)
  const error = (code: string) => Object.assign(new Error(`${code}: words, open '/x'`), { code })
  assert.equal(missingPermission(folder, error('EISDIR')), '')
  assert.equal(missingPermission(folder, 'thrown text'), '')
  assert.equal(accessProblem('/x', error('EISDIR')), 'EISDIR: words')
  assert.equal(accessProblem('/x', error('ENOENT')), 'it does not exist')
  assert.match(
    accessProblem(join(folder, 'gone'), error('EACCES')),
    new RegExp(`^EACCES: words \\(this process is ${ourselves()}\\)$`, 'u'),
  )
  assert.equal(octal(0o100640), '0640')
  assert.equal(octal(0o40), '0040')
})

/** What a process of uid 65534 says of a file; as nobody ourselves, what we say. */
function told(file: string): string {
  const script = `import { readFileSync } from 'node:fs'
    import { accessProblem } from ${JSON.stringify(MODULE)}
    try { readFileSync(${JSON.stringify(file)}) } catch (err) { console.log(accessProblem(${JSON.stringify(file)}, err)) }`
  const node = [process.execPath, '--input-type=module', '-e', script]
  const command = isRoot
    ? [SETPRIV, '--reuid=65534', '--regid=65534', '--clear-groups', ...node]
    : node
  const [program = '', ...args] = command
  return execFileSync(program, args, { encoding: 'utf8', cwd: '/' }).trim()
}

test('whose permission is missing, and where, is said', {
  skip: isRoot && !existsSync(SETPRIV) ? 'setpriv is not installed' : false,
}, async (t) => {
  const folder = await scratchDirectory(t)
  const closed = join(folder, 'closed')
  mkdirSync(closed)
  for (const name of ['key', 'closed/key']) {
    writeFileSync(join(folder, name), 'x')
    chmodSync(join(folder, name), 0)
  }
  chmodSync(closed, 0)
  const who = isRoot ? 'uid 65534, gid 65534' : ourselves()
  const owner = `${process.getuid?.()}:${process.getgid?.()}`
  assert.equal(
    told(join(folder, 'key')),
    `EACCES: permission denied (mode 0000, owner ${owner}; this process is ${who})`,
  )
  const ofClosed = told(join(closed, 'key'))
  // Before anything may fail: who cleans up is perhaps not root.
  chmodSync(closed, 0o700)
  assert.equal(
    ofClosed,
    `EACCES: permission denied, the directory ${closed} may not be entered (mode 0000, owner ${owner}; this process is ${who})`,
  )
})
