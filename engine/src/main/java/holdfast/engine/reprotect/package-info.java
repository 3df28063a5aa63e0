/**
 * Keeps a domain protected for as long as its operator wants it so: after a fail-over, or after its
 * secondary was lost, the node that runs it looks for another one by itself.
 *
 * <pre>
 *             Wished, SessionEnded            TryDue
 *   Off ────────────────────────► Looking ◄──────────► Trying
 *    ▲                             ▲    AttemptFailed,   │
 *    │ Withdrawn, Gone             │    NotNow           │ ProtectedNow
 *    │ (from every state)          └──── Protected ◄─────┘
 *                                  SessionEnded
 * </pre>
 *
 * The machine says when to try and which node; whether the domain may be protected at all at that
 * moment, its owner decided and nothing else in work on it, the one who performs its effects
 * checks. It never hears of a session that is undecided: to it that one goes on.
 */
package holdfast.engine.reprotect;
