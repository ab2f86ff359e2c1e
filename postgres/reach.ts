/** Can another account pass through the folders that lead to a path? */
import { stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import type { Account } from './account.ts'
import { run } from './run.ts'

export interface ClosedFolder {
  readonly path: string
  /** Octal, such as `0700`. */
  readonly mode: string
}

/** Reads the permission bits alone; `spawn` with uid and gid drops supplementary groups. */
export function mayPass(
  folder: { readonly mode: number; readonly uid: number; readonly gid: number },
  account: Account,
): boolean {
  if (folder.uid === account.uid) return (folder.mode & 0o100) !== 0
  if (folder.gid === account.gid) return (folder.mode & 0o010) !== 0
  return (folder.mode & 0o001) !== 0
}

/**
 * The topmost folder, `path` included, that `account` may not pass through. An access control list
 * may allow what the bits deny, so a closed door is tried before it is reported.
 */
export async function closedFolder(
  path: string,
  account: Account,
): Promise<ClosedFolder | undefined> {
  for (const folder of fromRoot(path)) {
    const found = await stat(folder)
    if (mayPass(found, account) || (await enters(folder, account))) continue
    return { path: folder, mode: octal(found.mode) }
  }
  return undefined
}

export function octal(mode: number): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

function fromRoot(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [...fromRoot(parent), path]
}

async function enters(folder: string, account: Account): Promise<boolean> {
  try {
    const tried = await run('/bin/sh', ['-c', 'cd -- "$1"', 'sh', folder], { account, cwd: '/' })
    return tried.code === 0
  } catch {
    return false // no shell to try with: the bits decide
  }
}
