/** How the server is set up: what our promises rest on, and what only suits the size of the work. */
import type { Place } from './place.ts'

/**
 * The arguments of `postgres`. They win over postgresql.conf, so here stands what nobody should
 * edit: where it listens, that a commit is on the disk, and that its log holds no row's content.
 */
export function serverArguments(cluster: string, place: Place): readonly string[] {
  const settings: Readonly<Record<string, string>> = {
    port: String(place.port),
    listen_addresses: place.kind === 'socket' ? '' : '127.0.0.1',
    unix_socket_directories: place.kind === 'socket' ? listElement(place.directory) : '',
    unix_socket_permissions: '0700',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    cluster_name: 'midge',
    log_destination: 'stderr',
    logging_collector: 'off',
    log_line_prefix: '%b|',
    // DETAIL, CONTEXT and STATEMENT quote what a client sent.
    log_error_verbosity: 'terse',
    log_min_error_statement: 'panic',
    log_min_messages: 'warning',
  }
  return [
    '-D',
    cluster,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ]
}

/**
 * Appended to postgresql.conf when the cluster is made, and the operator's to change afterwards:
 * one writer with few connections, on a machine that does other work too.
 */
export const INITIAL_SETTINGS = `
# Written once by Midge when it made this cluster; edit as you like and restart Midge.
max_connections = 20
shared_buffers = 64MB
jit = off
timezone = 'UTC'
log_timezone = 'UTC'
log_checkpoints = off
`

/** An element of a comma separated list setting. */
function listElement(text: string): string {
  return `"${text.replaceAll('"', '""')}"`
}
