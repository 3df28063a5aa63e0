package holdfast.node;

import java.io.IOException;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/** A second monitor of a QEMU: its events tell whether its guest ever stopped. */
record MonitorWatch(SocketChannel channel) implements AutoCloseable {
    /** What a domain's description has to have for it. */
    static String line(Path socket) {
        return "extra: [-qmp, \"unix:" + socket + ",server=on,wait=off\"]";
    }

    static MonitorWatch on(Path socket) throws IOException {
        SocketChannel channel = SocketChannel.open(StandardProtocolFamily.UNIX);
        channel.connect(UnixDomainSocketAddress.of(socket));
        MonitorWatch watch = new MonitorWatch(channel);
        watch.say("{\"execute\":\"qmp_capabilities\"}");
        return watch;
    }

    private void say(String command) throws IOException {
        channel.write(ByteBuffer.wrap((command + "\n").getBytes(StandardCharsets.UTF_8)));
    }

    /** Everything that QEMU has said by the time it answers this question. */
    String said() throws IOException {
        say("{\"execute\":\"query-status\",\"id\":\"last\"}");
        StringBuilder text = new StringBuilder();
        ByteBuffer bytes = ByteBuffer.allocate(4096);
        while (text.indexOf("\"last\"") < 0) {
            if (channel.read(bytes.clear()) < 0) {
                throw new IOException("the monitor ended: " + text);
            }
            text.append(StandardCharsets.UTF_8.decode(bytes.flip()));
        }
        return text.toString();
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
