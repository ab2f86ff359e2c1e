/** What `midge check` found: what keeps the broker from serving, and what is dangerous when it does. */

export interface Finding {
  /** `error`: the broker does not start, or a listener stays closed. */
  readonly severity: 'error' | 'danger'
  readonly text: string
}

export const failure = (text: string): Finding => ({ severity: 'error', text })
export const danger = (text: string): Finding => ({ severity: 'danger', text })

/** Each once, errors first; listeners often share files. */
export function sorted(findings: readonly Finding[]): readonly Finding[] {
  const seen = new Set<string>()
  const first = findings.filter(({ severity, text }) => {
    const key = `${severity} ${text}`
    return !seen.has(key) && seen.add(key)
  })
  return [
    ...first.filter(({ severity }) => severity === 'error'),
    ...first.filter(({ severity }) => severity === 'danger'),
  ]
}
