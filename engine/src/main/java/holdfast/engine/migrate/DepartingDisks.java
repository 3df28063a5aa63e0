package holdfast.engine.migrate;

import holdfast.engine.port.ForwardedDisks;

/**
 * A source's disks that the destination does not share: copied, then followed write by write until
 * the guest stands still for good. Epochs are the stretches between two stops of the guest in which
 * the session closes one; the destination has an image whole when it has the last one.
 */
public interface DepartingDisks extends ForwardedDisks {
    /**
     * Only while the domain is suspended, after the last {@link #closeEpoch}: nothing is forwarded
     * any more, and what is on its way still arrives. The domain may run on afterwards, on its own
     * disks. May be called again where it fails.
     */
    void detach();
}
