package holdfast.engine;

/**
 * What can fail while a domain is moved or protected and is told by an exception. Each permitted
 * type stands for one reaction; a caller needs no other information to know what to do. A lost
 * peer, a lost checkpoint and a lost right to run are no exceptions but events of the session; a
 * breach of a wire format is the wire's own {@code ProtocolException}: it ends a session and is
 * never a reason to fail over.
 */
public abstract sealed class ReplicationException extends RuntimeException
        permits DiskException, HypervisorException {
    ReplicationException(String message, Throwable cause) {
        super(message, cause);
    }
}
