package holdfast.node.link;

import java.net.InetSocketAddress;

/**
 * Where a node is reached, as people write it: {@code HOST}, {@code HOST:PORT}, {@code
 * [2001:db8::1]:PORT}.
 *
 * @param port 1 to 65535
 */
public record NodeAddress(String host, int port) {
    /** The port nodes listen on unless told otherwise. */
    public static final int PORT_DEFAULT = 7227;

    public NodeAddress {
        if (host.isEmpty() || host.length() > 255 || host.chars().anyMatch(c -> c <= ' ')) {
            throw new IllegalArgumentException(
                    "node address: expected HOST or HOST:PORT, found \"" + host + "\"");
        }
        if (port < 1 || port > 65535) {
            throw new IllegalArgumentException(
                    "node address: expected a port from 1 to 65535, found " + port);
        }
    }

    /**
     * @throws IllegalArgumentException with what was expected and found
     */
    public static NodeAddress parse(String text) {
        String host = text;
        String port = "";
        if (text.startsWith("[")) {
            int end = text.indexOf(']');
            if (end < 0 || (end + 1 < text.length() && text.charAt(end + 1) != ':')) {
                throw new IllegalArgumentException(
                        "node address: expected [IPV6]:PORT, found \"" + text + "\"");
            }
            host = text.substring(1, end);
            port = text.substring(Math.min(text.length(), end + 2));
        } else if (text.indexOf(':') >= 0 && text.indexOf(':') == text.lastIndexOf(':')) {
            host = text.substring(0, text.indexOf(':'));
            port = text.substring(text.indexOf(':') + 1);
            if (port.isEmpty()) {
                throw new IllegalArgumentException(
                        "node address: expected a port after the colon, found \"" + text + "\"");
            }
        }
        if (port.isEmpty()) {
            return new NodeAddress(host, PORT_DEFAULT);
        }
        try {
            return new NodeAddress(host, Integer.parseInt(port));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException(
                    "node address: expected a port from 1 to 65535, found \"" + port + "\"", e);
        }
    }

    /** The numeric address of a connection's other end. */
    static NodeAddress of(InetSocketAddress end) {
        return new NodeAddress(end.getAddress().getHostAddress(), end.getPort());
    }

    InetSocketAddress resolve() {
        return new InetSocketAddress(host, port);
    }

    @Override
    public String toString() {
        return (host.indexOf(':') >= 0 ? "[" + host + "]" : host) + ":" + port;
    }
}
