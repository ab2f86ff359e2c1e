import { Worker } from 'node:worker_threads'
import { messageOf } from '../core/errors.ts'
import {
  answerTo,
  type CrlAnswer,
  type CrlReading,
  type CrlReadingOptions,
  type CrlWork,
} from './crl-reading.ts'
import { CrlRejected } from './errors.ts'

/** Up to this size (about 2000 entries) a file is read at once, without a thread. */
const INLINE_BYTES = 96 * 1024

/** Bytes of a crlfile; about five million entries in PEM. */
export const MAX_CRL_BYTES = 256 * 1024 * 1024

/**
 * Reads, parses and verifies; holds the event loop for a few milliseconds at most, whatever the
 * size. The bytes may be moved to a thread and must not be used afterwards.
 *
 * @throws CrlRejected
 */
export async function readCrlsAside(
  bytes: Uint8Array<ArrayBuffer>,
  authorities: readonly Uint8Array[],
  options: CrlReadingOptions,
): Promise<CrlReading> {
  if (bytes.length > MAX_CRL_BYTES) {
    const text = `the file has ${bytes.length} bytes, expected at most ${MAX_CRL_BYTES}`
    throw new CrlRejected('crl_too_large', text)
  }
  const work = { bytes, authorities, ...options }
  const result = bytes.length <= INLINE_BYTES ? answerTo(work) : await inWorker(work)
  if ('reading' in result) return result.reading
  throw new CrlRejected(result.rejected.code, result.rejected.message)
}

function inWorker(work: CrlWork): Promise<CrlAnswer> {
  return new Promise((resolve, reject) => {
    const failed = (why: string): void => {
      reject(new CrlRejected('crl_reading_failed', `the CRL could not be read: ${why}`))
    }
    const whole = work.bytes.byteLength === work.bytes.buffer.byteLength
    const worker = new Worker(new URL('./crl-worker.js', import.meta.url), {
      workerData: work,
      transferList: whole ? [work.bytes.buffer] : [],
    })
    worker.once('message', (result: CrlAnswer) => resolve(result))
    worker.once('error', (err) => failed(messageOf(err)))
    worker.once('exit', (code) => failed(`the thread ended with ${code}`))
  })
}
