import { boolean, text, words } from '../values.ts'
import { directive, HONOURED, ignored, WITH_ITS_BLOCK } from './directive.ts'
import type { Directive } from './directive.ts'

/**
 * Lines that open a plugin, and its options. Which plugins are served by code of our own is decided
 * by file name, in plugins.ts; any other is refused there.
 */
export const PLUGIN: readonly Directive[] = [
  directive('plugin', 'opening', words, HONOURED),
  directive('auth_plugin', 'opening', words, HONOURED),
  directive('global_plugin', 'opening', words, HONOURED),
  directive('plugin_load', 'opening', words, HONOURED),
  directive('plugin_use', 'opening', text(), HONOURED),
  directive('plugin_opt_', 'plugin', text(), WITH_ITS_BLOCK),
  directive('auth_opt_', 'plugin', text(), WITH_ITS_BLOCK),
  directive(
    'auth_plugin_deny_special_chars',
    'plugin',
    boolean,
    ignored('no plugin is asked here'),
    { neutral: ['true'] },
  ),
]
