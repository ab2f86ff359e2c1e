/** Standard output and error whose other end may go away at any time. */

interface Output {
  on(event: 'error', listener: (err: Error) => void): unknown
}

/**
 * A closed pipe, a terminal that is gone or a full disk is an `error` event, and one that nobody
 * hears ends the process with everything it holds. A broker goes on without that text, and writes
 * again once there is room; a command whose reader has gone (`| head`) has nothing left to do.
 *
 * @param end called once; a broker has none
 */
export function surviveLostOutput(
  { stdout, stderr }: { readonly stdout: Output; readonly stderr: Output },
  end?: () => void,
): void {
  let isHeard = true
  stdout.on('error', () => {
    if (isHeard) end?.()
    isHeard = false
  })
  stderr.on('error', () => undefined)
}
