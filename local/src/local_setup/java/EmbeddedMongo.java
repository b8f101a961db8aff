package local_setup;

import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.nio.ByteBuffer;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Deque;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;

import org.h2.mvstore.MVMap;
import org.h2.mvstore.MVStore;
import org.h2.mvstore.WriteBuffer;
import org.h2.mvstore.type.BasicDataType;
import org.h2.mvstore.type.ObjectDataType;

import de.bwaldvogel.mongo.MongoDatabase;
import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.KeyValue;
import de.bwaldvogel.mongo.backend.h2.H2Backend;
import de.bwaldvogel.mongo.backend.h2.H2Database;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.wire.bson.BsonEncoder;
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import io.netty.channel.Channel;

/**
 * A MongoDB-wire server over one H2 file, durable against the death of its process.
 *
 * <p>Arguments: file, port (0 = any free one), process id of the parent. Prints "LISTENING port" once
 * it accepts connections, or "FAILED reason", and ends when the parent does, when standard input
 * closes, or on SIGTERM.
 *
 * <p>Why not H2Backend as it is: its store saves in the background every second, so a killed process
 * loses acknowledged writes, and may save between the document and its index entry. Here nothing is
 * saved in the background; every command that can write runs alone and its answer leaves only
 * after the store is committed.
 */
public final class EmbeddedMongo extends H2Backend {

    /** pymongo 4.20 refuses servers below wire version 8; 13 is what MongoDB 5.0 answers. */
    private static final MongoVersion VERSION = new MongoVersion() {
        @Override
        public List<Integer> getVersionArray() {
            return List.of(5, 0, 0);
        }

        @Override
        public int getWireVersion() {
            return 13;
        }
    };

    /** Commands that change no document; whatever is not here is committed before its answer. */
    private static final Set<String> READ_ONLY = Set.of(
        "find", "getmore", "killcursors", "count", "distinct", "ismaster", "hello", "ping", "buildinfo",
        "serverstatus", "whatsmyuri", "getlog", "listdatabases", "listcollections", "listindexes",
        "dbstats", "collstats", "connectionstatus", "hostinfo", "getcmdlineopts", "endsessions",
        "getfreemonitoringstatus", "replsetgetstatus", "validate");

    /** Rewriting sparse parts of the file is checked for once in so many commits. */
    private static final int COMMITS_BETWEEN_COMPACTIONS = 64;
    private static final int TARGET_FILL_PERCENT = 50;
    private static final int COMPACTION_BYTES = 8 * 1024 * 1024;

    /** A reply ends with the document that reaches this; the largest document has 16 MB, a message 48. */
    private static final int BATCH_BYTES = 8 * 1024 * 1024;
    private static final int UNCHECKED_BATCH = 2;

    private static final int CLOSING_COMPACTION_MS = 2000;
    private static final int PARENT_CHECK_MS = 500;

    private final ReentrantLock writing = new ReentrantLock();
    private int commits;

    private EmbeddedMongo(MVStore store) {
        super(store);
        version(VERSION);
    }

    @Override
    public Document handleCommand(Channel channel, String database, String command, Document query) {
        if (!writes(command, query)) {
            return inBatches(super.handleCommand(channel, database, command, query));
        }
        writing.lock();
        try {
            Document answer = super.handleCommand(channel, database, command, query);
            save();
            return inBatches(answer);
        } finally {
            writing.unlock();
        }
    }

    /**
     * Cuts a first batch to MongoDB's size and leaves the rest to a cursor. The server would send everything
     * that was found in one message, which drivers refuse beyond 48 MB.
     */
    private Document inBatches(Document answer) {
        if (!(answer.get("cursor") instanceof Document) || !((Document) answer.get("cursor")).containsKey("firstBatch")) {
            return answer;
        }
        Document cursor = (Document) answer.get("cursor");
        @SuppressWarnings("unchecked")
        Collection<Document> found = (Collection<Document>) cursor.get("firstBatch");
        if (found.size() <= UNCHECKED_BATCH || ((Number) cursor.get("id")).longValue() != 0) {
            return answer;
        }
        Waiting waiting = new Waiting(getCursorRegistry().generateCursorId(), found);
        cursor.put("firstBatch", take(waiting, Integer.MAX_VALUE));
        if (!waiting.isEmpty()) {
            getCursorRegistry().add(waiting);
            cursor.put("id", waiting.getId());
        }
        return answer;
    }

    @Override
    protected Document handleGetMore(String database, String command, Document query) {
        Cursor cursor = getCursorRegistry().getCursor(((Number) query.get(command)).longValue());
        int wanted = ((Number) query.getOrDefault("batchSize", 0)).intValue();
        List<Document> batch = take(cursor, wanted > 0 ? wanted : Integer.MAX_VALUE);
        if (cursor.isEmpty()) {
            getCursorRegistry().remove(cursor);
        }
        Document found = new Document("id", cursor.isEmpty() ? 0L : cursor.getId());
        found.put("ns", database + "." + query.get("collection"));
        found.put("nextBatch", batch);
        Document answer = new Document("cursor", found);
        answer.put("ok", 1.0);
        return answer;
    }

    private static List<Document> take(Cursor cursor, int most) {
        List<Document> batch = new ArrayList<>();
        ByteBuf bytes = Unpooled.buffer();
        try {
            while (!cursor.isEmpty() && batch.size() < most && bytes.writerIndex() < BATCH_BYTES) {
                Document document = cursor.takeDocuments(1).get(0);
                BsonEncoder.encodeDocument(document, bytes);
                batch.add(document);
            }
        } finally {
            bytes.release();
        }
        return batch;
    }

    /** Documents that were found and are not yet sent; lets go of those that are. */
    private static final class Waiting implements Cursor {

        private final long id;
        private final Deque<Document> documents;

        Waiting(long id, Collection<Document> documents) {
            this.id = id;
            this.documents = new ArrayDeque<>(documents);
        }

        @Override
        public long getId() {
            return id;
        }

        @Override
        public synchronized boolean isEmpty() {
            return documents.isEmpty();
        }

        @Override
        public synchronized List<Document> takeDocuments(int most) {
            List<Document> taken = new ArrayList<>();
            while (taken.size() < most && !documents.isEmpty()) {
                taken.add(documents.removeFirst());
            }
            return taken;
        }
    }

    private static boolean writes(String command, Document query) {
        String name = command.toLowerCase(Locale.ROOT);
        if (name.equals("aggregate")) {
            // Only the stages $out and $merge write. A false alarm (the word in a value) costs a
            // commit of nothing.
            String pipeline = String.valueOf(query.get("pipeline"));
            return pipeline.contains("$out") || pipeline.contains("$merge");
        }
        return !READ_ONLY.contains(name);
    }

    @Override
    protected MongoDatabase openOrCreateDatabase(String name) {
        return new Database(name);
    }

    /** Its indexes compare numbers and texts as such; H2 would serialize both sides for each comparison. */
    private final class Database extends H2Database {

        Database(String name) {
            super(name, getMvStore(), getCursorRegistry());
        }

        @Override
        protected Index<Object> openOrCreateUniqueIndex(
                String collection, String index, List<IndexKey> keys, boolean sparse) {
            // An open map stays as it was opened, so the one that the super class asks for is this one.
            String map = getDatabaseName() + "." + collection + "._index_" + index;
            getMvStore().openMap(map, new MVMap.Builder<KeyValue, Object>().keyType(new KeyType()));
            return super.openOrCreateUniqueIndex(collection, index, keys, sparse);
        }
    }

    /** Order of index keys: single numbers, single texts, then everything else as H2 orders it. */
    private static final class KeyType extends BasicDataType<KeyValue> {

        private final ObjectDataType any = new ObjectDataType();

        @Override
        public int compare(KeyValue one, KeyValue other) {
            int rank = rank(one);
            int byRank = Integer.compare(rank, rank(other));
            if (byRank != 0) {
                return byRank;
            }
            switch (rank) {
                case 0: return Double.compare((Double) one.get(0), (Double) other.get(0));
                case 1: return ((String) one.get(0)).compareTo((String) other.get(0));
                default: return any.compare(one, other);
            }
        }

        private static int rank(KeyValue key) {
            if (key.size() != 1) {
                return 2;
            }
            Object value = key.get(0);
            return value instanceof Double ? 0 : value instanceof String ? 1 : 2;
        }

        @Override
        public int getMemory(KeyValue key) {
            return any.getMemory(key);
        }

        @Override
        public void write(WriteBuffer buffer, KeyValue key) {
            any.write(buffer, key);
        }

        @Override
        public KeyValue read(ByteBuffer buffer) {
            return (KeyValue) any.read(buffer);
        }

        @Override
        public KeyValue[] createStorage(int size) {
            return new KeyValue[size];
        }
    }

    private void save() {
        MVStore store = getMvStore();
        store.commit();
        commits++;
        if (commits % COMMITS_BETWEEN_COMPACTIONS == 0) {
            store.compact(TARGET_FILL_PERCENT, COMPACTION_BYTES);
        }
    }

    @Override
    public void close() {
        writing.lock();
        try {
            MVStore store = getMvStore();
            if (!store.isClosed()) {
                store.commit();
                store.close(CLOSING_COMPACTION_MS);
            }
        } finally {
            writing.unlock();
        }
    }

    /**
     * Ends this process once its parent is gone. The closed pipe alone does not tell: a forked child of
     * the parent may keep it open. A killed parent that nobody has waited for still exists, but is
     * our parent no longer.
     */
    private static void exitWithParent(long parent) {
        long first = parentNow();
        while (parentNow() == first && ProcessHandle.of(parent).map(ProcessHandle::isAlive).orElse(false)) {
            try {
                Thread.sleep(PARENT_CHECK_MS);
            } catch (InterruptedException error) {
                break;
            }
        }
        System.exit(0);
    }

    private static long parentNow() {
        return ProcessHandle.current().parent().map(ProcessHandle::pid).orElse(0L);
    }

    public static void main(String[] arguments) throws Exception {
        String file = arguments[0];
        int port = Integer.parseInt(arguments[1]);
        long parent = Long.parseLong(arguments[2]);
        MongoServer server;
        try {
            MVStore store = new MVStore.Builder()
                .fileName(file).autoCommitDisabled().autoCommitBufferSize(0).compress().open();
            server = new MongoServer(new EmbeddedMongo(store));
            server.bind(new InetSocketAddress(InetAddress.getByName("127.0.0.1"), port));
        } catch (Exception error) {
            System.out.println("FAILED " + String.valueOf(error.getMessage()).replace('\n', ' '));
            System.exit(1);
            return;
        }
        Runtime.getRuntime().addShutdownHook(new Thread(server::shutdownNow, "closing"));
        Thread watch = new Thread(() -> exitWithParent(parent), "parent watch");
        watch.setDaemon(true);
        watch.start();
        System.out.println("LISTENING " + server.getLocalAddress().getPort());
        while (System.in.read() >= 0) {
            // Nothing is ever written to us: reading only notices the end.
        }
        System.exit(0);
    }
}
