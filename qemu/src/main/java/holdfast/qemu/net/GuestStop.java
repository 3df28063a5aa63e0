package holdfast.qemu.net;

import holdfast.qemu.qmp.QmpClient;

/**
 * Stops the guest for the moments in which filters or mirrors are taken out. Whoever else may want
 * the guest stopped meanwhile goes through the same place, so that the end of one stop does not
 * undo another.
 */
public interface GuestStop {
    /**
     * The guest stands still from the return on.
     *
     * @throws holdfast.engine.HypervisorException if that is not known
     */
    void begin();

    /**
     * The guest runs, unless somebody else wants it stopped. Called after each {@link #begin}, also
     * after one that failed.
     *
     * @throws holdfast.engine.HypervisorException if it should run and does not
     */
    void end();

    /** For a domain that nobody else stops. */
    static GuestStop alone(QmpClient qmp) {
        return new GuestStop() {
            @Override
            public void begin() {
                qmp.execute("stop");
            }

            @Override
            public void end() {
                qmp.execute("cont");
            }
        };
    }

    /** For a guest that is suspended already and is to stay so. */
    static GuestStop standing() {
        return new GuestStop() {
            @Override
            public void begin() {}

            @Override
            public void end() {}
        };
    }
}
