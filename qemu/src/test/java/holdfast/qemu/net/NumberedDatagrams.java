package holdfast.qemu.net;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.DatagramPacket;
import java.net.DatagramSocket;
import java.net.InetAddress;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.BitSet;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;

/**
 * Sends numbered datagrams at a steady rate and takes the echoes. Arguments: host, port, datagrams
 * a second, bytes each. A line {@code count} on standard input prints {@code sent received}; {@code
 * stop} ends the sending, waits for stragglers and prints {@code sent received duplicates reordered
 * longestSilenceMillis}.
 */
final class NumberedDatagrams {
    private final DatagramSocket socket = new DatagramSocket();
    private final AtomicBoolean sending = new AtomicBoolean(true);
    private final BitSet seen = new BitSet();
    private int sent;
    private int received;
    private int duplicates;
    private int reordered;
    private int newest = -1;
    private long lastNanos;
    private long longestNanos;

    private NumberedDatagrams() throws IOException {
        socket.setReceiveBufferSize(4 << 20);
        socket.setSoTimeout(1500);
    }

    public static void main(String[] arguments) throws IOException, InterruptedException {
        NumberedDatagrams datagrams = new NumberedDatagrams();
        InetAddress host = InetAddress.getByName(arguments[0]);
        int port = Integer.parseInt(arguments[1]);
        int perSecond = Integer.parseInt(arguments[2]);
        int bytes = Integer.parseInt(arguments[3]);
        Thread receiver = Thread.ofPlatform().start(datagrams::receive);
        Thread sender =
                Thread.ofPlatform().start(() -> datagrams.send(host, port, perSecond, bytes));
        BufferedReader commands =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        String command;
        while ((command = commands.readLine()) != null && !command.equals("stop")) {
            datagrams.report();
        }
        datagrams.sending.set(false);
        sender.join();
        receiver.join();
        datagrams.report();
    }

    private void send(InetAddress host, int port, int perSecond, int bytes) {
        long start = System.nanoTime();
        ByteBuffer payload = ByteBuffer.allocate(bytes);
        try {
            while (sending.get()) {
                int number;
                synchronized (this) {
                    number = sent++;
                }
                payload.putInt(0, number);
                socket.send(new DatagramPacket(payload.array(), bytes, host, port));
                long due = start + (long) ((number + 1) * (1e9 / perSecond));
                while (due > System.nanoTime()) {
                    LockSupport.parkNanos(due - System.nanoTime());
                }
            }
        } catch (IOException e) {
            System.out.println("failed: " + e.getMessage());
        }
    }

    private void receive() {
        byte[] bytes = new byte[65_536];
        DatagramPacket packet = new DatagramPacket(bytes, bytes.length);
        try {
            while (true) {
                try {
                    packet.setLength(bytes.length);
                    socket.receive(packet);
                } catch (SocketTimeoutException _) {
                    if (sending.get()) {
                        continue;
                    }
                    return;
                }
                take(ByteBuffer.wrap(bytes).getInt(0));
            }
        } catch (IOException e) {
            System.out.println("failed: " + e.getMessage());
        }
    }

    private synchronized void take(int number) {
        long now = System.nanoTime();
        longestNanos = Math.max(longestNanos, received == 0 ? 0 : now - lastNanos);
        lastNanos = now;
        if (seen.get(number)) {
            duplicates++;
            return;
        }
        seen.set(number);
        received++;
        reordered += number < newest ? 1 : 0;
        newest = Math.max(newest, number);
    }

    private synchronized void report() {
        System.out.println(
                sent
                        + " "
                        + received
                        + " "
                        + duplicates
                        + " "
                        + reordered
                        + " "
                        + longestNanos / 1_000_000);
    }
}
