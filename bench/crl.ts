/**
 * What a changed CRL does to a running broker: how long until the last of 1,000 revoked connections is
 * closed, and whether a list of a million entries holds up those who have nothing to do with it.
 */
import { randomBytes, X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rename, rm, writeFile, chmod } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { serialNumber, type SerialNumber } from '../core/names.ts'
import { filesIn } from '../pki/authority-files.ts'
import { loadDeviceCa } from '../pki/authority-setup.ts'
import { readCertificate } from '../pki/certificate.ts'
import { writeCrl } from '../pki/crl-generator.ts'
import { crlReport, type CrlRound, type ListResult, type SweepResult } from './crl-report.ts'
import { connectAll, Pinger, type DeviceConnection } from './device-connections.ts'
import { prepareDevices } from './devices.ts'
import { Cleanup, endOnSignal, residentBytes } from './processes.ts'
import { machineLines, versionLines, writeResult } from './report.ts'
import { startTlsBroker, type TlsBroker } from './tls-brokers.ts'

const ENTRIES = [10_000, 100_000, 1_000_000]
const QUIET_MS = 5_000
const DEADLINE_MS = 60_000
const DAY_MS = 86_400_000

/** @returns false when a connection whose certificate was revoked stayed open, or a good one did not */
export async function benchmarkCrl(args: readonly string[]): Promise<boolean> {
  const { rounds, connections } = optionsOf(args)
  const machine = machineLines()
  const versions = await versionLines()
  const cleanup = new Cleanup()
  endOnSignal(cleanup)
  try {
    // Beside those that are revoked together: a bystander, and one for each long list to name.
    const devices = await prepareDevices(connections + 1 + ENTRIES.length)
    const work = await mkdtemp(join(tmpdir(), 'midge-bench-'))
    cleanup.add(() => rm(work, { recursive: true, force: true }))
    await chmod(work, 0o755)
    const results: CrlRound[] = []
    for (let round = 1; round <= rounds; round++) {
      const directory = join(work, String(round))
      const broker = await startTlsBroker('midge', { directory, devices, cleanup })
      const all = await connectAll(devices, broker, connections + 1 + ENTRIES.length)
      cleanup.add(() => all.forEach(({ socket }) => socket.destroy()))
      results.push(await runRound(broker, all, { directory, connections }))
      await broker.stop()
      console.log(`round ${round} of ${rounds}`)
    }
    const text = crlReport({ connections, entries: ENTRIES, results, machine, versions })
    console.log(`\n${text}`)
    const isWhole = rounds >= 3 && connections >= 1000
    console.log(
      isWhole ? `written to ${await writeResult('crl', text)}` : 'not written: no whole run',
    )
    return true
  } finally {
    await cleanup.run()
  }
}

async function runRound(
  broker: TlsBroker,
  all: readonly DeviceConnection[],
  options: { readonly directory: string; readonly connections: number },
): Promise<CrlRound> {
  const publish = await publisherOf(join(options.directory, 'certs'), broker)
  const together = all.slice(0, options.connections)
  const [bystander, ...marked] = all.slice(options.connections)
  if (bystander === undefined) throw new Error('no bystander')
  const revoked = together.map(({ serial }) => serial)
  const sweep = await closeAll(together, () => publish(revoked))
  const lists: ListResult[] = []
  for (const [i, entries] of ENTRIES.entries()) {
    const victim = marked[i]
    if (victim === undefined) throw new Error('too few connections')
    revoked.push(victim.serial)
    const filled = [...revoked]
    while (filled.length < entries) filled.push(serialNumber(randomSerial()))
    lists.push(await replaceList(broker, bystander, victim, () => publish(filled)))
  }
  if (bystander.socket.destroyed) throw new Error('the bystander was closed')
  return { sweep, lists }
}

/** Puts a CRL with these entries in the place of the one in force; settles at the rename. */
type Publish = (serials: readonly SerialNumber[]) => Promise<() => Promise<number>>

async function publisherOf(directory: string, broker: TlsBroker): Promise<Publish> {
  const { certificatePem, key } = await loadDeviceCa({
    files: filesIn(directory),
    passphrase: undefined,
  })
  const { subject, subjectKeyIdentifier } = readCertificate(new X509Certificate(certificatePem).raw)
  let crlNumber = 1_000n
  return async (serials) => {
    const now = Date.now()
    const revoked = serials.map((serial) => ({
      serialNumber: serial,
      revokedAt: now,
      reason: 'keyCompromise' as const,
    }))
    const pem = await writeCrl({
      issuer: subject,
      key,
      authorityKeyIdentifier: subjectKeyIdentifier,
      crlNumber: crlNumber++,
      thisUpdate: now,
      nextUpdate: now + 30 * DAY_MS,
      revoked,
    })
    await writeFile(`${broker.crl}.next`, pem)
    return async () => {
      await rename(`${broker.crl}.next`, broker.crl)
      return performance.now()
    }
  }
}

async function closeAll(
  connections: readonly DeviceConnection[],
  prepare: () => ReturnType<Publish>,
): Promise<SweepResult> {
  const ends: number[] = []
  const closed = connections.map(async ({ socket }) => {
    await once(socket, 'close')
    ends.push(performance.now())
  })
  const swap = await prepare()
  const began = await swap()
  await within(Promise.all(closed), 'a revoked connection stayed open')
  return { firstMs: Math.min(...ends) - began, lastMs: Math.max(...ends) - began }
}

async function replaceList(
  broker: TlsBroker,
  bystander: DeviceConnection,
  victim: DeviceConnection,
  prepare: () => ReturnType<Publish>,
): Promise<ListResult> {
  const swap = await prepare()
  const quiet = new Pinger(bystander.socket)
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
  const quietPingMs = quiet.stop()
  const closed = once(victim.socket, 'close')
  const pinger = new Pinger(bystander.socket)
  const began = await swap()
  await within(closed, 'a revoked connection stayed open')
  const inForceMs = performance.now() - began
  const longestPingMs = pinger.stop()
  return { inForceMs, longestPingMs, quietPingMs, residentBytes: residentBytes(broker.pid) }
}

async function within(work: Promise<unknown>, problem: string): Promise<void> {
  let timer
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(problem)), DEADLINE_MS)
  })
  await Promise.race([work, late])
  clearTimeout(timer)
}

/** 20 octets, positive: as long as serial numbers may be. */
const randomSerial = () => `40${randomBytes(19).toString('hex')}`

function optionsOf(args: readonly string[]) {
  const { values } = parseArgs({
    args: [...args],
    options: {
      rounds: { type: 'string', default: '3' },
      connections: { type: 'string', default: '1000' },
    },
  })
  const [rounds, connections] = [Number(values.rounds), Number(values.connections)]
  if (!(rounds >= 1 && rounds <= 10)) throw new Error('--rounds: expected 1 to 10')
  if (!(connections >= 1 && connections <= 5000)) {
    throw new Error('--connections: expected 1 to 5000')
  }
  return { rounds, connections }
}
