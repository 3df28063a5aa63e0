/**
 * The daemon: the domains of a node, what operators may do with them, and what other nodes may ask.
 *
 * <pre>
 * API socket ─► Node ─► HostedDomain ─► RemusPrimary   ─► link ─► other node
 *                │          └─────────► QemuDomain
 * LinkListener ──┴─► SecondaryHost ─► RemusSecondary ─► QemuStandby
 * state directory: DomainStore (what runs where), SessionLedger (what became of each session)
 * </pre>
 *
 * <p>Operators' operations on one domain happen one at a time, each on the thread that asked;
 * sessions run on threads of their own and tell their domain what became of them.
 */
package holdfast.node;
