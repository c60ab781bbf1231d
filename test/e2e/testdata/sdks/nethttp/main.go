// Command nethttp makes one call with Go's default HTTP client.
package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
)

func main() {
	res, err := http.Get("http://" + os.Args[1] + "/?Action=ListMetrics&Version=2010-05-25")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	fmt.Println(res.StatusCode, err)
}
