// A customer's whole chat with AWS SDK for Go v2 and gorilla/websocket, and what the SDK makes of each refusal.
// Argument: the emulator's line of JSON. Prints one JSON object of what was seen.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/connect"
	"github.com/aws/aws-sdk-go-v2/service/connect/types"
	"github.com/aws/aws-sdk-go-v2/service/connectparticipant"
	participant "github.com/aws/aws-sdk-go-v2/service/connectparticipant/types"
	"github.com/aws/smithy-go"
	"github.com/gorilla/websocket"
)

type place struct {
	Endpoint, Region string
	InstanceID       string `json:"instance_id"`
	FlowID           string `json:"contact_flow_id"`
	AccessKey        string `json:"access_key_id"`
	SecretKey        string `json:"secret_access_key"`
}

type frame struct {
	Topic   string
	Content json.RawMessage // an object in answers, and on aws/chat a string that holds JSON
}

type item struct{ Id, ContentType, Content, ParticipantRole, DisplayName string }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func once(attempts int) func() aws.Retryer {
	return func() aws.Retryer { return retry.AddWithMaxAttempts(retry.NewStandard(), attempts) }
}

// hear reads frames until `wanted` holds for what one says.
func hear(socket *websocket.Conn, wanted func(item) bool) item {
	for {
		var heard frame
		check(socket.ReadJSON(&heard))
		var said item
		if heard.Topic == "aws/chat" {
			var content string
			check(json.Unmarshal(heard.Content, &content))
			check(json.Unmarshal([]byte(content), &said))
			if wanted(said) {
				return said
			}
		}
	}
}

func code(err error) string {
	var refused smithy.APIError
	if errors.As(err, &refused) {
		return refused.ErrorCode()
	}
	return fmt.Sprint(err)
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	var where place
	check(json.Unmarshal([]byte(os.Args[1]), &where))
	settings := aws.Config{
		Region:      where.Region,
		Credentials: credentials.NewStaticCredentialsProvider(where.AccessKey, where.SecretKey, ""),
		Retryer:     once(1),
	}
	calls := connect.NewFromConfig(settings, connect.WithEndpointResolver(connect.EndpointResolverFromURL(where.Endpoint)))
	customer := connectparticipant.NewFromConfig(aws.Config{Region: where.Region, Retryer: once(1)},
		connectparticipant.WithEndpointResolver(connectparticipant.EndpointResolverFromURL(where.Endpoint)))
	request := connect.StartChatContactInput{
		InstanceId:                     &where.InstanceID,
		ContactFlowId:                  &where.FlowID,
		ParticipantDetails:             &types.ParticipantDetails{DisplayName: aws.String("Grüße")},
		Attributes:                     map[string]string{"topic": "returns"},
		SupportedMessagingContentTypes: []string{"text/plain", "text/markdown"},
	}
	started, err := calls.StartChatContact(ctx, &request)
	check(err)
	opened, err := customer.CreateParticipantConnection(ctx, &connectparticipant.CreateParticipantConnectionInput{
		ParticipantToken: started.ParticipantToken,
		Type:             []participant.ConnectionType{"WEBSOCKET", "CONNECTION_CREDENTIALS"},
	})
	check(err)
	token := opened.ConnectionCredentials.ConnectionToken
	socket, _, err := websocket.DefaultDialer.DialContext(ctx, *opened.Websocket.Url, nil)
	check(err)
	defer socket.Close()
	check(socket.SetReadDeadline(time.Now().Add(30 * time.Second)))
	check(socket.WriteMessage(websocket.TextMessage, []byte(`{"topic":"aws/subscribe","content":{"topics":["aws/chat"]}}`)))
	greeting := hear(socket, func(said item) bool { return said.Content == "Welcome" })
	sent, err := customer.SendMessage(ctx, &connectparticipant.SendMessageInput{
		ConnectionToken: token, ContentType: aws.String("text/markdown"), Content: aws.String("**An agent**, please: 你好"),
	})
	check(err)
	own := hear(socket, func(said item) bool { return said.Id == *sent.Id })
	_, err = customer.SendEvent(ctx, &connectparticipant.SendEventInput{
		ConnectionToken: token, ContentType: aws.String("application/vnd.amazonaws.connect.event.typing"),
	})
	check(err)
	answer := hear(socket, func(said item) bool { return said.ParticipantRole == "AGENT" && said.Content != "" })
	pages, kinds := 0, []string{}
	paging := connectparticipant.NewGetTranscriptPaginator(customer, &connectparticipant.GetTranscriptInput{
		ConnectionToken: token, MaxResults: aws.Int32(2), ScanDirection: participant.ScanDirectionForward, SortOrder: participant.SortKeyAscending,
	})
	for ; paging.HasMorePages() && pages < 20; pages++ {
		page, err := paging.NextPage(ctx)
		check(err)
		for _, one := range page.Transcript {
			kinds = append(kinds, strings.TrimPrefix(*one.ContentType, "application/vnd.amazonaws.connect.event."))
		}
	}
	_, err = customer.DisconnectParticipant(ctx, &connectparticipant.DisconnectParticipantInput{ConnectionToken: token})
	check(err)
	ended := hear(socket, func(said item) bool { return strings.HasSuffix(said.ContentType, "event.chat.ended") })
	described, err := calls.DescribeContact(ctx, &connect.DescribeContactInput{InstanceId: &where.InstanceID, ContactId: started.ContactId})
	check(err)
	refusals := refused(ctx, calls, customer, request, started, token)
	check(json.NewEncoder(os.Stdout).Encode(map[string]any{
		"contact": *started.ContactId, "greeting": greeting, "own": own, "answer": answer, "pages": pages, "kinds": kinds,
		"ended": ended.ContentType, "disconnected": described.Contact.DisconnectTimestamp != nil, "refusals": refusals,
	}))
}

// refused tries what has to be refused: the quota is two chats, and each bucket is all but empty after the last attempt.
func refused(ctx context.Context, calls *connect.Client, customer *connectparticipant.Client, request connect.StartChatContactInput,
	started *connect.StartChatContactOutput, token *string) map[string]string {
	seen := map[string]string{}
	start := func(input connect.StartChatContactInput) error {
		input.ClientToken = nil // the SDK leaves the one that it made up in the caller's struct: it would be a replay
		_, err := calls.StartChatContact(ctx, &input)
		return err
	}
	other, invalid := request, request
	other.ContactFlowId = aws.String("no-such-flow")
	invalid.SupportedMessagingContentTypes = []string{"text/markdown"}
	err := start(other)
	var unknown *types.ResourceNotFoundException
	seen["unknown flow"] = fmt.Sprint(code(err), " ", errors.As(err, &unknown))
	err = start(invalid)
	var parameter *types.InvalidParameterException
	seen["invalid"] = fmt.Sprint(code(err), " ", errors.As(err, &parameter))
	_, err = calls.StopContact(ctx, &connect.StopContactInput{InstanceId: request.InstanceId, ContactId: aws.String("nobody")})
	var gone *types.ContactNotFoundException
	seen["unknown contact"] = fmt.Sprint(code(err), " ", errors.As(err, &gone))
	for range []int{1, 2} {
		check(start(request))
	}
	err = start(request)
	var full *types.LimitExceededException
	seen["quota"] = fmt.Sprint(code(err), " ", errors.As(err, &full))
	for attempt := 0; attempt < 20; attempt++ {
		if err = start(other); !errors.As(err, &unknown) {
			break
		}
	}
	seen["throttle"] = code(err)
	_, err = customer.SendMessage(ctx, &connectparticipant.SendMessageInput{
		ConnectionToken: token, ContentType: aws.String("text/plain"), Content: aws.String("too late"),
	})
	var denied *participant.AccessDeniedException
	seen["ended chat"] = fmt.Sprint(code(err), " ", errors.As(err, &denied))
	return seen
}
