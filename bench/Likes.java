import com.sun.management.OperatingSystemMXBean;
import java.io.BufferedOutputStream;
import java.io.DataInputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.management.ManagementFactory;
import java.net.Socket;
import java.net.URI;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.util.Utf8;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams' process of the job, exactly once: {@code Likes SCHEMA-ID=SCHEMA-FILE...}.
 *
 * <p>Two stores in RocksDB with their changelogs: the newest reaction by post and user, and the
 * count by post. A punctuation writes the counts that changed into Redis, in one pipeline.
 */
public final class Likes {
  private static final String EVENTS = "engagements";
  private static final String REACTIONS = "reactions";
  private static final String COUNTS = "counts";
  private static final long CACHE_BYTES = 64 << 20;

  private static final Set<String> WANTED =
      Set.of("event_id", "action", "user_id", "post_id", "at");

  public static void main(String[] schemas) throws IOException {
    Map<Integer, Schema> versions = new HashMap<>();
    for (String named : schemas) {
      String[] idAndFile = named.split("=", 2);
      String text = Files.readString(Path.of(idAndFile[1]));
      versions.put(Integer.valueOf(idAndFile[0]), new Schema.Parser().parse(text));
    }
    Topology topology = new Topology();
    topology.addSource(EVENTS, new ByteArrayDeserializer(), new ByteArrayDeserializer(), EVENTS);
    topology.addProcessor("likes", () -> new Fold(versions), EVENTS);
    topology.addStateStore(store(REACTIONS).withCachingDisabled(), "likes");
    topology.addStateStore(store(COUNTS).withCachingEnabled(), "likes");
    KafkaStreams streams = new KafkaStreams(topology, configuration());
    streams.setStateListener(
        (now, before) -> {
          if (now == KafkaStreams.State.ERROR) {
            Runtime.getRuntime().halt(1);
          }
        });
    Thread end = new Thread(() -> streams.close(Duration.ofSeconds(5)));
    Runtime.getRuntime().addShutdownHook(end);
    streams.start();
  }

  private static StoreBuilder<KeyValueStore<Bytes, byte[]>> store(String name) {
    return Stores.keyValueStoreBuilder(
        Stores.persistentKeyValueStore(name), Serdes.Bytes(), Serdes.ByteArray());
  }

  private static Properties configuration() {
    Properties values = new Properties();
    values.put(StreamsConfig.APPLICATION_ID_CONFIG, "bench-streams");
    values.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, System.getenv("KAFKA_BROKERS"));
    values.put(StreamsConfig.STATE_DIR_CONFIG, System.getenv("HEADRACE_DATA_DIR") + "/streams");
    values.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    values.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 200);
    values.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
    values.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, CACHE_BYTES);
    values.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    values.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "lz4");
    return values;
  }

  /** A like counts once per user, the newest by (at, event id) wins. */
  private static final class Fold implements Processor<byte[], byte[], Void, Void> {
    private static final Duration WRITE_EVERY = Duration.ofMillis(100);
    private static final int HEADER_BYTES = 5;
    private static final AtomicBoolean HAS_BEGUN = new AtomicBoolean();

    private final Map<Integer, GenericDatumReader<GenericRecord>> readers = new HashMap<>();
    private final Map<Bytes, Long> changed = new HashMap<>();
    private KeyValueStore<Bytes, byte[]> reactions;
    private KeyValueStore<Bytes, byte[]> counts;
    private Redis redis;
    private BinaryDecoder decoder;
    private GenericRecord event;

    Fold(Map<Integer, Schema> versions) {
      versions.forEach((id, schema) -> readers.put(id, reader(schema)));
    }

    private static GenericDatumReader<GenericRecord> reader(Schema schema) {
      GenericData data = new GenericData();
      data.setFastReaderEnabled(true);
      return new GenericDatumReader<>(schema, projected(schema), data);
    }

    /** The schema with the fields that the job needs: Avro skips the others. */
    private static Schema projected(Schema schema) {
      List<Schema.Field> fields =
          schema.getFields().stream()
              .filter(field -> WANTED.contains(field.name()))
              .map(field -> new Schema.Field(field, field.schema()))
              .toList();
      return Schema.createRecord(schema.getName(), null, schema.getNamespace(), false, fields);
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      reactions = context.getStateStore(REACTIONS);
      counts = context.getStateStore(COUNTS);
      redis = new Redis(URI.create(System.getenv("REDIS_URL")));
      context.schedule(WRITE_EVERY, PunctuationType.WALL_CLOCK_TIME, at -> write());
    }

    @Override
    public void process(Record<byte[], byte[]> record) {
      if (!HAS_BEGUN.get() && HAS_BEGUN.compareAndSet(false, true)) {
        Start.mark();
      }
      decode(record.value());
      Utf8 postId = (Utf8) event.get("post_id");
      Utf8 userId = (Utf8) event.get("user_id");
      boolean isLiked = event.get("action").toString().equals("like");
      Bytes pair = Bytes.wrap(joined(postId, userId));
      byte[] before = reactions.get(pair);
      byte[] after = reaction((long) event.get("at"), isLiked, (Utf8) event.get("event_id"));
      if (before != null && !isNewer(after, before)) {
        return;
      }
      reactions.put(pair, after);
      boolean wasLiked = before != null && before[Long.BYTES] == 1;
      if (isLiked != wasLiked) {
        byte[] post = Arrays.copyOf(postId.getBytes(), postId.getByteLength());
        count(Bytes.wrap(post), isLiked ? 1 : -1);
      }
    }

    private void decode(byte[] raw) {
      ByteBuffer header = ByteBuffer.wrap(raw);
      if (header.get() != 0) {
        throw new IllegalArgumentException("not in the Confluent wire format");
      }
      GenericDatumReader<GenericRecord> reader = readers.get(header.getInt());
      int length = raw.length - HEADER_BYTES;
      decoder = DecoderFactory.get().binaryDecoder(raw, HEADER_BYTES, length, decoder);
      try {
        event = reader.read(event, decoder);
      } catch (IOException error) {
        throw new IllegalArgumentException(error);
      }
    }

    private void count(Bytes postId, int change) {
      byte[] before = counts.get(postId);
      long likes = change + (before == null ? 0 : ByteBuffer.wrap(before).getLong());
      counts.put(postId, ByteBuffer.allocate(Long.BYTES).putLong(likes).array());
      changed.put(postId, likes);
    }

    private void write() {
      try {
        redis.set(changed);
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
      changed.clear();
    }

    @Override
    public void close() {
      redis.close();
    }

    private static byte[] joined(Utf8 postId, Utf8 userId) {
      int length = postId.getByteLength() + 1 + userId.getByteLength();
      return ByteBuffer.allocate(length)
          .put(postId.getBytes(), 0, postId.getByteLength())
          .put((byte) '/')
          .put(userId.getBytes(), 0, userId.getByteLength())
          .array();
    }

    private static byte[] reaction(long at, boolean isLiked, Utf8 eventId) {
      return ByteBuffer.allocate(Long.BYTES + 1 + eventId.getByteLength())
          .putLong(at)
          .put((byte) (isLiked ? 1 : 0))
          .put(eventId.getBytes(), 0, eventId.getByteLength())
          .array();
    }

    private static boolean isNewer(byte[] after, byte[] before) {
      int found = Arrays.compareUnsigned(after, 0, Long.BYTES, before, 0, Long.BYTES);
      int id = Long.BYTES + 1;
      return found != 0
          ? found > 0
          : Arrays.compareUnsigned(after, id, after.length, before, id, before.length) > 0;
    }
  }

  /** Absolute counts, as {@code likes:<post id>}: SET commands in one pipeline. */
  private static final class Redis {
    private static final byte[] OK = "+OK\r\n".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] PREFIX = "likes:".getBytes(StandardCharsets.US_ASCII);

    private final Socket socket;
    private final OutputStream commands;
    private final DataInputStream answers;

    Redis(URI url) {
      try {
        socket = new Socket(url.getHost(), url.getPort());
        socket.setTcpNoDelay(true);
        commands = new BufferedOutputStream(socket.getOutputStream(), 1 << 16);
        answers = new DataInputStream(socket.getInputStream());
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }

    void set(Map<Bytes, Long> counts) throws IOException {
      for (Map.Entry<Bytes, Long> count : counts.entrySet()) {
        byte[] postId = count.getKey().get();
        String likes = count.getValue().toString();
        ascii("*3\r\n$3\r\nSET\r\n$" + (PREFIX.length + postId.length) + "\r\n");
        commands.write(PREFIX);
        commands.write(postId);
        ascii("\r\n$" + likes.length() + "\r\n" + likes + "\r\n");
      }
      commands.flush();
      byte[] found = answers.readNBytes(OK.length * counts.size());
      for (int at = 0; at < counts.size(); at++) {
        int from = at * OK.length;
        if (!Arrays.equals(found, from, from + OK.length, OK, 0, OK.length)) {
          String text = new String(found, StandardCharsets.UTF_8);
          throw new IOException("Redis refused a SET: " + text);
        }
      }
    }

    private void ascii(String text) throws IOException {
      commands.write(text.getBytes(StandardCharsets.US_ASCII));
    }

    void close() {
      try {
        socket.close();
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }
  }

  /** The mark of the start, as {@code bench.marks} writes it. */
  private static final class Start {
    static void mark() {
      String named = System.getenv("HEADRACE_BENCH_START");
      if (named == null) {
        return;
      }
      var machine = (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
      double at = System.nanoTime() / 1e9;
      double cpu = machine.getProcessCpuTime() / 1e9;
      long pid = ProcessHandle.current().pid();
      Path file = Path.of(named);
      Path draft = file.resolveSibling(file.getFileName() + ".draft");
      try {
        String mark = "{\"pid\": %d, \"at\": %f, \"cpu\": %f}";
        Files.writeString(draft, String.format(Locale.ROOT, mark, pid, at, cpu));
        Files.move(draft, file, StandardCopyOption.ATOMIC_MOVE);
      } catch (IOException error) {
        throw new IllegalStateException(error);
      }
    }
  }
}
