package holdfast.qemu.net;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardSocketOptions;
import java.nio.charset.StandardCharsets;

/**
 * One TCP connection to Redis: each line of standard input is sent as a command, each line of the
 * answers printed. Arguments: host, port.
 */
final class RedisLines {
    private RedisLines() {}

    public static void main(String[] arguments) throws IOException {
        try (Socket socket = new Socket()) {
            socket.setOption(StandardSocketOptions.TCP_NODELAY, true);
            socket.connect(
                    new InetSocketAddress(arguments[0], Integer.parseInt(arguments[1])), 10_000);
            System.out.println("connected");
            Thread.ofPlatform().daemon().start(() -> print(socket));
            BufferedReader commands =
                    new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
            String command;
            while ((command = commands.readLine()) != null) {
                socket.getOutputStream().write((command + "\r\n").getBytes(StandardCharsets.UTF_8));
            }
        }
    }

    private static void print(Socket socket) {
        try {
            BufferedReader answers =
                    new BufferedReader(
                            new InputStreamReader(socket.getInputStream(), StandardCharsets.UTF_8));
            String answer;
            while ((answer = answers.readLine()) != null) {
                System.out.println(answer);
            }
            System.out.println("end of connection");
        } catch (IOException e) {
            System.out.println("failed: " + e.getMessage());
        }
    }
}
