import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.net.http.WebSocket;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A customer on the JDK's own HTTP client with its defaults, which offer HTTP/2: connects, subscribes, speaks, hears itself. */
public class Chat {
    static final HttpClient CLIENT = HttpClient.newHttpClient();

    static String call(String endpoint, String path, String token, String body) throws Exception {
        HttpRequest request = HttpRequest.newBuilder(URI.create(endpoint + path))
            .header("X-Amz-Bearer", token)
            .header("Content-Type", "application/json")
            .POST(HttpRequest.BodyPublishers.ofString(body))
            .build();
        HttpResponse<String> answer = CLIENT.send(request, HttpResponse.BodyHandlers.ofString());
        if (answer.statusCode() != 200) throw new IllegalStateException(path + ": " + answer.statusCode() + " " + answer.body());
        return answer.body();
    }

    static String member(String json, String name) {
        Matcher found = Pattern.compile("\"" + name + "\":\"([^\"]*)\"").matcher(json);
        if (!found.find()) throw new IllegalStateException("no " + name + " in " + json);
        return found.group(1);
    }

    public static void main(String[] arguments) throws Exception {
        String endpoint = arguments[0];
        String connection = call(endpoint, "/participant/connection", arguments[1],
            "{\"Type\":[\"WEBSOCKET\",\"CONNECTION_CREDENTIALS\"]}");
        String token = member(connection, "ConnectionToken");
        CompletableFuture<Void> subscribed = new CompletableFuture<>();
        CompletableFuture<String> heard = new CompletableFuture<>();
        WebSocket socket = CLIENT.newWebSocketBuilder().buildAsync(URI.create(member(connection, "Url")), new WebSocket.Listener() {
            final StringBuilder text = new StringBuilder();

            @Override public CompletionStage<?> onText(WebSocket from, CharSequence piece, boolean last) {
                text.append(piece);
                if (last) {
                    if (text.indexOf("aws/subscribe") >= 0) subscribed.complete(null);
                    else heard.complete(text.toString());
                    text.setLength(0);
                }
                from.request(1);
                return null;
            }
        }).get(10, TimeUnit.SECONDS);
        socket.sendText("{\"topic\":\"aws/subscribe\",\"content\":{\"topics\":[\"aws/chat\"]}}", true).get(10, TimeUnit.SECONDS);
        subscribed.get(10, TimeUnit.SECONDS);
        String sent = call(endpoint, "/participant/message", token, "{\"ContentType\":\"text/plain\",\"Content\":\"Hello from Java\"}");
        if (!heard.get(10, TimeUnit.SECONDS).contains(member(sent, "Id"))) throw new IllegalStateException(heard.get());
        call(endpoint, "/participant/disconnect", token, "{}");
        System.out.println("done");
    }
}
