/** The thread that reads a large crlfile; started by crl-reader.ts, ends after one message. */
import { parentPort, workerData } from 'node:worker_threads'
import { answerTo, type CrlWork } from './crl-reading.ts'

if (parentPort !== null) {
  const work: CrlWork = workerData
  const answer = answerTo(work)
  const tables =
    'reading' in answer
      ? answer.reading.verified.flatMap(({ revoked, removed }) => [revoked, removed])
      : []
  // Handed over, not copied: the other thread must not stand still for a million serials.
  const buffers = tables.flatMap(({ serials, slots }) => [serials.buffer, slots.buffer])
  parentPort.postMessage(answer, buffers)
}
