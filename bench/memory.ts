/** What a connection costs while nothing is said on it. */
import { mutualTls, type Devices } from './devices.ts'
import { startMidge } from './midge.ts'
import type { Mqload } from './mqload.ts'
import { residentBytes } from './processes.ts'

export interface MemoryRound {
  /** Resident memory of a broker nobody has connected to yet. */
  readonly baseBytes: number
  readonly held: readonly { readonly connections: number; readonly bytes: number }[]
}

const SETTLE_MS = 3000
const HOLD_SECONDS = 60

/** A fresh broker with each number of idle mTLS connections in turn, the fewest first. */
export async function measureMemory(options: {
  readonly data: string
  readonly mqload: Mqload
  readonly devices: Devices
  readonly connections: readonly number[]
}): Promise<MemoryRound> {
  const { data, mqload, devices, connections } = options
  const midge = await startMidge({ data })
  try {
    await settle()
    const baseBytes = residentBytes(midge.pid)
    const held = []
    for (const count of connections) {
      const args = [...mutualTls(devices, midge, count), '-k', '300']
      const idle = await mqload.hold(args, HOLD_SECONDS)
      try {
        if (idle.connected !== count) throw new Error(`${idle.connected} of ${count} connected`)
        await settle()
        held.push({ connections: count, bytes: residentBytes(midge.pid) })
      } finally {
        await idle.close()
      }
    }
    return { baseBytes, held }
  } finally {
    await midge.stop()
  }
}

async function settle(): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, SETTLE_MS))
}
