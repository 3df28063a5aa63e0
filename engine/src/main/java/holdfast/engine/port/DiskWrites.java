package holdfast.engine.port;

import java.nio.ByteBuffer;

/** What another node's guest writes to its disks, in the order of its writes. One thread calls. */
public interface DiskWrites {
    /**
     * The guest wrote {@code data}. Blocks while there is no room to keep it.
     *
     * @param disk index of the domain's disk
     * @param offsetBytes within the disk
     * @param data borrowed for the call; read from its position to its limit
     */
    void write(int disk, long offsetBytes, ByteBuffer data);

    /** The guest wrote {@code lengthBytes} of zeroes, or no longer needs what was there. */
    void writeZeroes(int disk, long offsetBytes, long lengthBytes);

    /** All writes of {@code epoch} have been given; what follows belongs to the next one. */
    void boundary(long epoch);
}
