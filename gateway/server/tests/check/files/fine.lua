ngx.say('fine')
