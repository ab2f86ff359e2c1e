/** What a client may do. */
export { type Acl, compileAcl } from './acl.ts'
export {
  type AccessRules,
  mayPublish,
  mayReceive,
  maySubscribe,
  type Subject,
} from './authoriser.ts'
export { DENY_REASONS, type Decision, type DenyReason, type RulePlace } from './decision.ts'
export {
  filterWithin,
  matches,
  type SharedSubscription,
  sharedSubscription,
} from './topic-filter.ts'
