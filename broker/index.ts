/** The broker: MQTT in and out, who may connect, who may say what. */
export {
  compileAcl,
  mayPublish,
  mayReceive,
  maySubscribe,
  type AccessRules,
  type Decision,
} from './access/index.ts'
export { Broker } from './broker.ts'
export type {
  BrokerOptions,
  ListenerAccess,
  ListenerFiles,
  SessionSummary,
} from './broker-options.ts'
export {
  accountDeviceOf,
  identityOf,
  isDeviceAccount,
  PasswordAccounts,
  type Identity,
} from './identity/index.ts'
export type { Publication } from './router.ts'
export type {
  Admission,
  ClientCertificates,
  ConnectionObserver,
  DeviceReport,
  ObservedConnection,
  PeerCertificate,
  ServerCredentials,
  TelemetrySink,
} from './ports.ts'
