package holdfast.wire.colo;

/**
 * One message of the COLO checkpoint protocol, with QEMU's numbers. Split by who reads it, so that
 * neither side has a case it can never meet.
 */
public sealed interface ColoMessage permits ToSecondary, ToPrimary {}
