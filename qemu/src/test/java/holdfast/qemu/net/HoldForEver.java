package holdfast.qemu.net;

import holdfast.qemu.qmp.QmpClient;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/** Holds a QEMU's output until it is killed. Arguments: monitor socket, netdev, directory. */
final class HoldForEver {
    private HoldForEver() {}

    public static void main(String[] arguments) throws InterruptedException {
        QmpClient qmp = QmpClient.connect(Path.of(arguments[0]), Duration.ofSeconds(10));
        NicGate gate =
                NicGate.attach(
                        qmp,
                        List.of(new Nic(0, arguments[1], 12)),
                        Path.of(arguments[2]),
                        16 << 20,
                        () -> {});
        System.out.println("holding " + gate.held().frames());
        Thread.sleep(Duration.ofMinutes(5));
    }
}
