package holdfast.node.nbd;

import javax.net.ssl.SSLContext;
import javax.net.ssl.SSLEngine;

/**
 * What a server needs to demand TLS from every client.
 *
 * @param context with the server's key, and for {@link ClientCertificates#REQUIRED} with the trust
 *     in the clients' certificates
 */
public record NbdTls(SSLContext context, ClientCertificates clientCertificates) {
    /** Whether clients prove who they are. */
    public enum ClientCertificates {
        /** The connection is private; whoever reaches the server may use it. */
        NOT_ASKED,
        /** Only clients whose certificate the context trusts. */
        REQUIRED
    }

    SSLEngine engine() {
        SSLEngine engine = context.createSSLEngine();
        engine.setUseClientMode(false);
        engine.setNeedClientAuth(clientCertificates == ClientCertificates.REQUIRED);
        return engine;
    }
}
